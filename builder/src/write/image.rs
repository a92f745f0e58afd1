//! What an image is, by its first MiB: a partition table of ours, and the disk that it was made for.

use std::io::Cursor;

use basalt_disk::block_size;
use basalt_sysroot::partition::{ESP_TYPE, ROOT_X86_64_TYPE, SectorSize};
use gpt::header::{Header, read_header_from_arbitrary_device};
use gpt::partition::file_read_partitions;

use crate::stage::iso::LABEL;

/// Entries of a partition table at most: what all tools make has 128.
const MOST_ENTRIES: u32 = 512;
/// Bytes of an entry; the table's reader takes no others.
const ENTRY: u32 = 128;
/// Offset of the type of the MBR's first partition (UEFI 2.10, 5.2.3).
const MBR_TYPE: usize = 450;
/// The type that says that a GPT follows.
const PROTECTIVE: u8 = 0xee;
/// Files that are often taken for raw images, by their first bytes.
const OTHERS: [(&[u8], &str); 3] =
    [(b"QFI\xfb", "qcow2"), (b"vhdxfile", "VHDX"), (b"KDMV", "VMDK")];

/// A disk image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ImageShape {
    /// What the disk that it was made for addresses.
    pub(super) sector: SectorSize,
    /// Its size in bytes.
    pub(super) size: u64,
    /// The first byte behind what its partitions may use: from there on lies the backup table.
    pub(super) usable: u64,
}

/// Why something is no image of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoImage {
    /// It is of another kind, and can be made one.
    #[error("it is a {0} file, not a raw image\nhint: `qemu-img convert -O raw` makes one of it")]
    Other(&'static str),
    /// Nothing says that it is a disk.
    #[error("it has no partition table (GPT)\nhint: `basalt build` makes `disk.raw`")]
    NoTable,
    /// What it says of itself makes no sense.
    #[error("its partition table makes no sense: {0}")]
    Nonsense(&'static str),
    /// It is the disk of something else.
    #[error("it is no disk of Basalt: it has no {0} partition")]
    Foreign(&'static str),
}

impl ImageShape {
    /// Reads the beginning of an image.
    ///
    /// # Errors
    /// It is none, or none of ours.
    pub(super) fn read(head: &[u8]) -> Result<Self, NoImage> {
        if let Some((_, name)) = OTHERS.iter().find(|(magic, _)| head.starts_with(magic)) {
            return Err(NoImage::Other(name));
        }
        let is_protective = head.get(MBR_TYPE) == Some(&PROTECTIVE);
        if !is_protective || head.get(510..512) != Some(&[0x55, 0xaa]) {
            return Err(NoImage::NoTable);
        }
        let sectors = [SectorSize::B512, SectorSize::B4096];
        let read = |sector| header(head, sector).map(|header| (sector, header));
        let (sector, header) = sectors.into_iter().find_map(read).ok_or(NoImage::NoTable)?;
        let shape = Self::of(sector, &header)?;
        shape.check_partitions(head, &header)?;
        Ok(shape)
    }

    fn of(sector: SectorSize, header: &Header) -> Result<Self, NoImage> {
        if header.part_size != ENTRY || !(1..=MOST_ENTRIES).contains(&header.num_parts) {
            return Err(NoImage::Nonsense("its entries are others than anybody writes"));
        }
        if header.current_lba != 1 || header.last_usable >= header.backup_lba {
            return Err(NoImage::Nonsense("its backup is not behind its partitions"));
        }
        let bytes = |lba: u64| lba.checked_add(1)?.checked_mul(sector.bytes());
        let sizes = bytes(header.backup_lba).zip(bytes(header.last_usable));
        let (size, usable) = sizes.ok_or(NoImage::Nonsense("it is larger than any disk"))?;
        Ok(Self { sector, size, usable })
    }

    fn check_partitions(&self, head: &[u8], header: &Header) -> Result<(), NoImage> {
        let block = block_size(self.sector);
        let entries = file_read_partitions(&mut Cursor::new(head), header, block);
        let entries = entries.map_err(|_| NoImage::Nonsense("its entries are damaged"))?;
        let usable = self.usable / self.sector.bytes();
        let lies_outside = entries.values().any(|entry| {
            entry.first_lba < header.first_usable
                || entry.last_lba < entry.first_lba
                || entry.last_lba >= usable
        });
        if lies_outside {
            return Err(NoImage::Nonsense("a partition lies outside"));
        }
        // The root of a live system is no partition.
        let needed = if is_live(head) { 1 } else { 2 };
        let kinds = [(ESP_TYPE, "EFI system"), (ROOT_X86_64_TYPE, "root")];
        for (kind, name) in kinds.into_iter().take(needed) {
            if !entries.values().any(|entry| entry.part_type_guid.guid == kind) {
                return Err(NoImage::Foreign(name));
            }
        }
        Ok(())
    }
}

/// Whether a disk is a disc of a live system, too: by the name of the ISO 9660 (ECMA-119, 8.4.7).
fn is_live(head: &[u8]) -> bool {
    const IDENTIFIER: usize = 0x8000 + 40;
    const LENGTH: usize = 32;
    let label = head.get(IDENTIFIER..IDENTIFIER + LENGTH).unwrap_or_default();
    label.trim_ascii_end() == LABEL.as_bytes()
}

fn header(head: &[u8], sector: SectorSize) -> Option<Header> {
    read_header_from_arbitrary_device(&mut Cursor::new(head), block_size(sector)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::digest::PIECE;
    use crate::disk::{DiskIds, table};
    use basalt_sysroot::partition::{Layout, Sizes};

    const MIB: u64 = 1 << 20;

    /// The beginning of a disk of ours.
    fn head(sector: SectorSize) -> Vec<u8> {
        let sizes = Sizes { disk: 500 * MIB, esp: 300 * MIB, root: 100 * MIB };
        let layout = Layout::new(&sizes, sector).unwrap();
        let file = tempfile::tempfile().unwrap();
        file.set_len(layout.disk).unwrap();
        table::write(&file, &layout, &DiskIds::random()).unwrap();
        let mut head = vec![0; PIECE as usize];
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut head, 0).unwrap();
        head
    }

    #[test]
    fn a_disk_of_either_sector_size_is_known() {
        for sector in [SectorSize::B512, SectorSize::B4096] {
            let shape = ImageShape::read(&head(sector)).unwrap();
            let table = sector.bytes() + (16 << 10);
            let expected = ImageShape { sector, size: 500 * MIB, usable: 500 * MIB - table };
            assert_eq!(shape, expected);
        }
    }

    #[test]
    fn a_live_medium_has_no_root_and_is_one_of_ours() {
        let mut head = head(SectorSize::B512);
        let as_a_disc =
            |head: &mut [u8]| head[0x8028..][..LABEL.len()].copy_from_slice(LABEL.as_bytes());
        // Its root's entry gets another type, and both checksums are made good.
        head[1024 + 128..1024 + 144].fill(7);
        let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
        let entries = crc.checksum(&head[1024..1024 + (128 * 128)]);
        head[512 + 88..512 + 92].copy_from_slice(&entries.to_le_bytes());
        head[512 + 16..512 + 20].fill(0);
        let sum = crc.checksum(&head[512..512 + 92]);
        head[512 + 16..512 + 20].copy_from_slice(&sum.to_le_bytes());
        let refused = ImageShape::read(&head).unwrap_err();
        assert_eq!(refused, NoImage::Foreign("root"));
        as_a_disc(&mut head);
        assert!(ImageShape::read(&head).is_err(), "its name has a byte of nothing behind it");
        head[0x8028 + LABEL.len()..0x8028 + 32].fill(b' ');
        assert_eq!(ImageShape::read(&head).unwrap().size, 500 * MIB);
    }

    #[test]
    fn what_is_no_disk_of_ours_says_why() {
        let check = |change: &dyn Fn(&mut Vec<u8>), expected: &str| {
            let mut head = head(SectorSize::B512);
            change(&mut head);
            let error = ImageShape::read(&head).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(&|head| head[..4].copy_from_slice(b"QFI\xfb"), "a qcow2 file");
        check(&|head| head.fill(0), "no partition table");
        check(&|head| head.truncate(300), "no partition table");
        check(&|head| head[MBR_TYPE] = 0x83, "no partition table");
        // The disk's id, which the header's checksum covers.
        check(&|head| head[512 + 60] ^= 1, "no partition table");
        // Of the root's entry, the type.
        check(&|head| head[1024 + 128] ^= 1, "its entries are damaged");
    }

    #[test]
    fn fuzz_beginning_of_an_image() {
        let seeds = [SectorSize::B512, SectorSize::B4096].map(head);
        // As many bytes as a fuzzer changes.
        let seeds = seeds.each_ref().map(|head| &head[..12 << 10]);
        basalt_fuzz::run(&seeds, |bytes| {
            let _ = ImageShape::read(bytes);
            // Behind checksums: whatever a header says, it is read as far as it makes sense.
            if let Some(numbers) = bytes.first_chunk::<92>() {
                let mut head = vec![0; PIECE as usize];
                head[512..604].copy_from_slice(numbers);
                head[512..524].copy_from_slice(b"EFI PART\0\0\x01\0");
                head[524..528].copy_from_slice(&92_u32.to_le_bytes());
                head[MBR_TYPE] = PROTECTIVE;
                head[510..512].copy_from_slice(&[0x55, 0xaa]);
                head[528..532].fill(0);
                let sum = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(&head[512..604]);
                head[528..532].copy_from_slice(&sum.to_le_bytes());
                let _ = ImageShape::read(&head);
            }
        });
    }
}
