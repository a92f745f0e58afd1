//! Makes the ESP: a FAT32 in its piece of the disk, and the boot files in it.

mod dots;
mod files;
mod sparse;

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use basalt_sysroot::partition::{ESP_LABEL, Extent, SectorSize};
use fatfs::{FatType, FileSystem, FormatVolumeOptions, FsOptions, ReadWriteSeek};
use fscommon::StreamSlice;
use sparse::Sparse;

pub use files::{Content, EspFile, EspFiles, EspFilesError, FirstEntry};

/// From this size on clusters have 4 KiB, below it they are as small as they can be: a FAT with
/// too few clusters is no FAT32. The border is mkfs.fat's.
const LARGE: u64 = 260 << 20;
/// Bytes that are read from a boot file at a time.
const CHUNK: usize = 256 << 10;
/// Room for folders and for what is rounded up.
const SLACK: u64 = 1 << 20;

/// Where an ESP is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Volume {
    /// Its piece of the disk.
    pub extent: Extent,
    /// What the disk addresses.
    pub sector: SectorSize,
    /// The volume id that its FAT gets.
    pub id: u32,
}

/// What could not be done on an ESP.
#[derive(Debug, thiserror::Error)]
pub enum EspError {
    /// The disk cannot be read or written.
    #[error("cannot write the EFI partition")]
    Disk(#[from] io::Error),
    /// A file that is to go there cannot be read.
    #[error("cannot read `{}`", path.display())]
    Source {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It cannot hold its files.
    #[error("an EFI partition of {} MiB is too small for its files of {} MiB", esp >> 20, (needed >> 20) + 1)]
    Full {
        /// Its size in bytes.
        esp: u64,
        /// What its files take, in bytes.
        needed: u64,
    },
    /// A file on it is another one than was written.
    #[error(
        "`/{0}` on the EFI partition does not read back as it was written\nhint: the disk or its \
         controller fails, see `journalctl -k`"
    )]
    Differs(String),
}

/// Formats an ESP and writes `files` to it. Not synced.
///
/// # Errors
/// They do not fit, one of them cannot be read, or the disk cannot be written.
pub fn make(disk: &File, volume: &Volume, files: &[&EspFile]) -> Result<(), EspError> {
    let Volume { extent, sector, id } = *volume;
    let cluster = cluster_bytes(extent.length, sector);
    check_room(extent.length, cluster, files)?;
    fatfs::format_volume(&mut piece(disk, extent)?, options(sector, cluster, id))?;
    let fat = FileSystem::new(piece(disk, extent)?, FsOptions::new())?;
    // Counts the free clusters once, so that the count is there to be kept and written at the end.
    fat.stats()?;
    for file in files {
        write_file(&fat, file)?;
    }
    fat.unmount()?;
    Ok(dots::repair(&mut piece(disk, extent)?)?)
}

/// Puts a file into the ESP that lies there, in place of one of that name. Not synced.
///
/// # Errors
/// It has no room, the file cannot be read, or the disk cannot be written.
pub fn put(disk: &File, extent: Extent, file: &EspFile) -> Result<(), EspError> {
    let fat = FileSystem::new(piece(disk, extent)?, FsOptions::new())?;
    write_file(&fat, file)?;
    fat.unmount()?;
    Ok(dots::repair(&mut piece(disk, extent)?)?)
}

/// Reads a file of the ESP back past the cache, once the disk is synced.
///
/// # Errors
/// It is another one, or cannot be read.
pub fn check_file(disk: &File, extent: Extent, file: &EspFile) -> Result<(), EspError> {
    // What is in the cache only says that memory is good.
    rustix::fs::fadvise(disk, 0, None, rustix::fs::Advice::DontNeed).map_err(io::Error::from)?;
    let fat = FileSystem::new(piece(disk, extent)?, FsOptions::new())?;
    let mut there = Vec::new();
    fat.root_dir().open_file(&file.path)?.read_to_end(&mut there)?;
    let same = match &file.content {
        Content::Text(text) => text.as_bytes() == there,
        Content::File(path) => match std::fs::read(path) {
            Ok(bytes) => bytes == there,
            Err(source) => return Err(EspError::Source { path: path.clone(), source }),
        },
    };
    if same { Ok(()) } else { Err(EspError::Differs(file.path.clone())) }
}

fn piece(disk: &File, extent: Extent) -> io::Result<StreamSlice<Sparse<'_>>> {
    StreamSlice::new(Sparse::new(disk), extent.start, extent.end())
}

/// Puts a small file into the ESP that `volume` is, in place of one of that name.
///
/// # Errors
/// It is no FAT32 as this crate makes them, or has no room.
pub fn add_file(
    volume: &mut (impl Read + Write + Seek),
    path: &str,
    content: &str,
) -> io::Result<()> {
    // The library reads from wherever it is.
    volume.seek(SeekFrom::Start(0))?;
    let fat = FileSystem::new(&mut *volume, FsOptions::new())?;
    let file = EspFile { path: path.to_owned(), content: Content::Text(content.to_owned()) };
    write_file(&fat, &file).map_err(|error| match error {
        EspError::Disk(source) | EspError::Source { source, .. } => source,
        EspError::Full { .. } | EspError::Differs(_) => io::ErrorKind::StorageFull.into(),
    })?;
    fat.unmount()?;
    dots::repair(volume)
}

fn options(sector: SectorSize, cluster: u32, volume_id: u32) -> FormatVolumeOptions {
    let mut label = [b' '; 11];
    label[..ESP_LABEL.len()].copy_from_slice(ESP_LABEL.as_bytes());
    let sector = match sector {
        SectorSize::B512 => 512,
        SectorSize::B4096 => 4096,
    };
    FormatVolumeOptions::new()
        .fat_type(FatType::Fat32)
        .bytes_per_sector(sector)
        .bytes_per_cluster(cluster)
        .volume_id(volume_id)
        .volume_label(label)
}

fn cluster_bytes(length: u64, sector: SectorSize) -> u32 {
    match sector {
        SectorSize::B512 if length <= LARGE => 512,
        SectorSize::B512 | SectorSize::B4096 => 4096,
    }
}

/// The FAT library's own error for a full volume cannot be told from others.
fn check_room(esp: u64, cluster: u32, files: &[&EspFile]) -> Result<(), EspError> {
    let cluster = u64::from(cluster);
    let mut needed = 0;
    for file in files {
        needed += length(file)?.next_multiple_of(cluster);
    }
    // Both FATs take four bytes for each cluster.
    let room = esp / (cluster + 8) * cluster;
    if needed + SLACK > room { Err(EspError::Full { esp, needed: needed + SLACK }) } else { Ok(()) }
}

fn length(file: &EspFile) -> Result<u64, EspError> {
    match &file.content {
        Content::Text(text) => Ok(text.len() as u64),
        Content::File(path) => match std::fs::metadata(path) {
            Ok(metadata) => Ok(metadata.len()),
            Err(source) => Err(EspError::Source { path: path.clone(), source }),
        },
    }
}

fn write_file<V: ReadWriteSeek>(fat: &FileSystem<V>, file: &EspFile) -> Result<(), EspError> {
    let mut folder = fat.root_dir();
    let mut parts = file.path.split('/').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_some() {
            folder = folder.create_dir(part)?;
            continue;
        }
        let mut target = folder.create_file(part)?;
        target.truncate()?;
        match &file.content {
            Content::Text(text) => target.write_all(text.as_bytes())?,
            Content::File(path) => copy(path, &mut target)?,
        }
        target.flush()?;
    }
    Ok(())
}

fn copy(path: &Path, target: &mut impl Write) -> Result<(), EspError> {
    let failed = |source| EspError::Source { path: path.to_owned(), source };
    let mut source = File::open(path).map_err(failed)?;
    let mut chunk = vec![0; CHUNK];
    loop {
        match source.read(&mut chunk).map_err(failed)? {
            0 => return Ok(()),
            read => target.write_all(&chunk[..read])?,
        }
    }
}
