//! The writer over a disk that fails, lies, and loses its power at any write.

use std::io::{self, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;
use std::sync::LazyLock;

use basalt_cmd::Cmd;
use basalt_sysroot::partition::{Extent, Layout};
use fscommon::StreamSlice;

use super::medium::Medium;
use super::put::{Found, Work, put};
use super::*;
use crate::disk::{DiskIds, table};

const MIB: u64 = 1 << 20;
/// The image has 44 MiB.
const SIZE: u64 = 44 * MIB;
/// A disk that is larger than the image, and no multiple of what is written at a time.
const DISK: u64 = 47 * MIB + 4096;

/// A small disk of ours, as an image.
static IMAGE: LazyLock<Vec<u8>> = LazyLock::new(make_image);

fn make_image() -> Vec<u8> {
    let layout = Layout {
        sector: SectorSize::B512,
        disk: SIZE,
        esp: Extent { start: MIB, length: 34 * MIB },
        root: Extent { start: 35 * MIB, length: 8 * MIB },
        free: Extent { start: 43 * MIB, length: 0 },
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
    file.set_len(SIZE).unwrap();
    table::write(&file, &layout, &DiskIds::random()).unwrap();
    let mut esp = StreamSlice::new(&file, layout.esp.start, layout.esp.end()).unwrap();
    let options = fatfs::FormatVolumeOptions::new().fat_type(fatfs::FatType::Fat32);
    fatfs::format_volume(&mut esp, options.bytes_per_cluster(512)).unwrap();
    esp.seek(SeekFrom::Start(0)).unwrap();
    basalt_disk::add_file(&mut esp, "EFI/BOOT/BOOTX64.EFI", &"loader ".repeat(40_000)).unwrap();
    let path_variable = std::env::var("PATH").unwrap_or_default();
    let mke2fs = Cmd::new("mke2fs").env("PATH", format!("{path_variable}:/usr/sbin"));
    let features = "metadata_csum,metadata_csum_seed";
    let extended = format!("offset={},nodiscard", layout.root.start);
    let mke2fs = mke2fs.args(["-q", "-F", "-t", "ext4", "-b", "1024", "-O", features, "-E"]);
    mke2fs.arg(extended).arg(&path).arg("8192k").run().unwrap();
    std::fs::read(path).unwrap()
}

/// A disk in memory.
#[derive(Clone)]
struct Fake {
    bytes: Vec<u8>,
    /// Whether it makes zeros when it is told to: it may say that it cannot, or lie.
    zeroing: Zeroing,
    /// The write from which on there is no power.
    cut_at: Option<usize>,
    /// The write that fails, and how.
    fails_at: Option<(usize, io::ErrorKind)>,
    /// A byte that never keeps what was written there.
    bad: Option<u64>,
    writes: usize,
    /// What was written since the last sync.
    pending: Vec<Range<u64>>,
    /// What was written and not read since.
    unread: Vec<Range<u64>>,
    /// Bytes that were written.
    written: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Zeroing {
    Works,
    Refused,
    /// All but one byte becomes zero, where the image has nothing but zeros around.
    Lies,
}

/// The byte that stays.
const LIE: u64 = 30 * MIB + 5;

impl Fake {
    /// A disk with something else on it: all of it, but where `of` has another one of ours.
    fn full() -> Self {
        Self::with(vec![0xaa; DISK as usize])
    }

    fn with(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            zeroing: Zeroing::Refused,
            cut_at: None,
            fails_at: None,
            bad: None,
            writes: 0,
            pending: Vec::new(),
            unread: Vec::new(),
            written: 0,
        }
    }

    /// Counts a write; an error when it must not come through.
    fn count(&mut self) -> io::Result<()> {
        self.writes += 1;
        if self.cut_at.is_some_and(|at| self.writes >= at) {
            return Err(io::Error::other("no power"));
        }
        match self.fails_at {
            Some((at, kind)) if at == self.writes => Err(kind.into()),
            _ => Ok(()),
        }
    }
}

impl Medium for Fake {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&mut self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let (start, end) = (offset as usize, offset as usize + buffer.len());
        buffer.copy_from_slice(&self.bytes[start..end]);
        let read = start as u64..end as u64;
        self.unread.retain(|range| range.start < read.start || range.end > read.end);
        if let Some(bad) = self.bad.filter(|bad| read.contains(bad)) {
            buffer[(bad - read.start) as usize] ^= 0x40;
        }
        Ok(())
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.count()?;
        let end = offset + bytes.len() as u64;
        if offset == 0 && bytes.iter().any(|byte| *byte != 0) {
            // The table: all that it leads to is safe, and was seen to be what it should be.
            assert_eq!(self.pending, [], "not safe");
            assert_eq!(self.unread, [], "not read back");
        }
        self.bytes[offset as usize..end as usize].copy_from_slice(bytes);
        self.pending.push(offset..end);
        self.unread.retain(|range| range.start < offset || range.end > end);
        if bytes.iter().any(|byte| *byte != 0) {
            self.unread.push(offset..end);
        }
        self.written += bytes.len() as u64;
        Ok(())
    }

    fn zero(&mut self, offset: u64, length: u64) -> io::Result<bool> {
        if self.zeroing != Zeroing::Refused {
            self.count()?;
            let stays = self.bytes[LIE as usize];
            self.bytes[offset as usize..(offset + length) as usize].fill(0);
            if self.zeroing == Zeroing::Lies {
                self.bytes[LIE as usize] = stays;
            }
        }
        Ok(self.zeroing != Zeroing::Refused)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.count()?;
        self.pending.clear();
        Ok(())
    }
}

fn looked(path: &Path) -> Looked {
    let mut source = Source::open(&Place::File(path.to_owned()), Patience::default()).unwrap();
    let first = source.piece(PIECE).unwrap();
    let shape = ImageShape::read(&IMAGE[..PIECE as usize]).unwrap();
    Looked { source, first, shape, origin: Origin::default() }
}

/// Writes the image onto a disk, and a `host.toml` with it.
fn write_onto(disk: &mut Fake, stop: &Stop) -> Result<Written> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    std::fs::write(&path, &*IMAGE).unwrap();
    let work = Work { progress: Progress::Silent, stop, config: Some("hostname = \"a\"\n") };
    copy::erase_ends(disk)?;
    put(looked(&path), disk, Found::Disk, &work)
}

fn refused(disk: &mut Fake) -> String {
    basalt_explain::explain(&write_onto(disk, &Stop::default()).unwrap_err())
}

/// What firmware looks at: a protective MBR with a table behind it, or the table's backup.
fn boots(disk: &[u8]) -> bool {
    disk[510..512] == [0x55, 0xaa]
}

/// The image is all there, but for ids and what the host is told; both tables are good.
fn check_whole(disk: &[u8]) {
    let body = MIB as usize..(SIZE - MIB) as usize;
    let differ = differing(&disk[body.clone()], &IMAGE[body]);
    assert!((1..2000).contains(&differ), "{differ} bytes differ");
    let config = gpt::GptConfig::new().only_valid_headers(true);
    let table = config.open_from_device(std::io::Cursor::new(disk.to_vec())).unwrap();
    assert_eq!(table.header().backup_lba, DISK / 512 - 1);
    assert_eq!(table.header().last_usable, DISK / 512 - 34);
    // Nothing is left of the image's own backup, nor of what was there.
    let rest = &disk[(SIZE - 33 * 512) as usize..SIZE as usize];
    assert!(rest.iter().all(|byte| *byte == 0), "the image's own backup is gone");
}

/// How many bytes differ.
fn differing(one: &[u8], other: &[u8]) -> usize {
    let chunks = one.chunks(4096).zip(other.chunks(4096)).filter(|(one, other)| one != other);
    let count = |(one, other): (&[u8], &[u8])| {
        one.iter().zip(other).filter(|(one, other)| one != other).count()
    };
    chunks.map(count).sum()
}

#[test]
fn whatever_was_on_a_disk_the_image_is_all_that_is_there() {
    for zeroing in [Zeroing::Works, Zeroing::Refused] {
        let mut disk = Fake { zeroing, ..Fake::full() };
        write_onto(&mut disk, &Stop::default()).unwrap();
        check_whole(&disk.bytes);
    }
}

#[test]
fn zeros_are_written_only_where_there_are_none() {
    let used = |disk: Fake| {
        let mut disk = disk;
        write_onto(&mut disk, &Stop::default()).unwrap();
        disk.written
    };
    let (full, empty) = (used(Fake::full()), used(Fake::with(vec![0; DISK as usize])));
    let made_empty = used(Fake { zeroing: Zeroing::Works, ..Fake::full() });
    assert!(full > 40 * MIB, "{full}");
    // Its beginning and end are zeros before all else, and two pieces come last.
    assert!(empty < 8 * MIB && made_empty < 8 * MIB, "{empty}, {made_empty}");
}

/// The disk had another system of ours before.
#[test]
fn a_cut_at_any_write_boots_nowhere_and_the_next_write_is_whole() {
    let mut before = Fake::full();
    write_onto(&mut before, &Stop::default()).unwrap();
    before.zeroing = Zeroing::Works;
    before.writes = 0;
    let mut whole = before.clone();
    write_onto(&mut whole, &Stop::default()).unwrap();
    let all = whole.writes;
    assert!(all > 15, "{all}");
    let mut booted = 0;
    for cut_at in 1..=all {
        let mut disk = Fake { cut_at: Some(cut_at), ..before.clone() };
        refused(&mut disk);
        if cut_at == 1 {
            // Nothing was written: what was there is there.
            assert!(boots(&disk.bytes));
        } else if boots(&disk.bytes) {
            check_whole(&disk.bytes);
            booted += 1;
        }
        if cut_at % 4 == 0 || cut_at == all {
            let mut again = Fake { zeroing: Zeroing::Works, ..Fake::with(disk.bytes) };
            write_onto(&mut again, &Stop::default()).unwrap();
            check_whole(&again.bytes);
        }
    }
    // Only the very last write makes it boot; the sync after it may be cut.
    assert!(booted <= 1, "{booted}");
}

#[test]
fn what_reads_back_otherwise_is_found_wherever_it_is() {
    let first_data = IMAGE[35 * MIB as usize..].iter().position(|byte| *byte != 0).unwrap() as u64;
    let within = 35 * MIB + first_data;
    // In the middle; in the backup table at the end; in the first block.
    for (bad, named) in [(within, 35 * MIB), (DISK - 512, DISK - 512), (700, 700)] {
        let mut disk = Fake { bad: Some(bad), ..Fake::with(vec![0; DISK as usize]) };
        let said = refused(&mut disk);
        assert!(said.contains(&format!("byte {named}")), "{bad}: {said}");
        assert!(said.contains("reads back otherwise") && said.contains("hint: the disk is bad"));
        assert!(!boots(&disk.bytes), "{bad}");
    }
}

#[test]
fn a_disk_that_says_that_it_made_zeros_is_not_believed() {
    let mut disk = Fake { zeroing: Zeroing::Lies, ..Fake::full() };
    let said = refused(&mut disk);
    let place = format!("from byte {} to {} reads back otherwise", 30 * MIB, 31 * MIB);
    assert!(said.contains(&place), "{said}");
    assert!(!boots(&disk.bytes));
}

#[test]
fn a_disk_that_fails_at_any_write_boots_nowhere_and_its_place_is_named() {
    let mut disk = Fake { zeroing: Zeroing::Works, ..Fake::full() };
    write_onto(&mut disk, &Stop::default()).unwrap();
    let all = disk.writes;
    for at in 2..=all {
        let fails_at = Some((at, io::ErrorKind::StorageFull));
        let mut disk = Fake { fails_at, zeroing: Zeroing::Works, ..Fake::full() };
        let said = refused(&mut disk);
        assert!(said.contains("no storage space"), "{said}");
        let place = ["byte ", "its beginning", "its end", "what was written"];
        assert!(place.iter().any(|place| said.contains(place)), "{said}");
        assert!(!boots(&disk.bytes), "{at} of {all}");
    }
}

#[test]
fn whoever_stops_it_leaves_no_disk_that_boots() {
    let stop = Stop::default();
    stop.now();
    let mut disk = Fake::full();
    let error = write_onto(&mut disk, &stop).unwrap_err();
    assert!(error.chain().any(|cause| cause.is::<Stopped>()), "{error:#}");
    assert!(!boots(&disk.bytes));
}
