//! The id of an ext4, in its superblock and all copies of it.
//!
//! Offsets are those of the kernel's `Documentation/filesystems/ext4/super.rst`. Nothing but the id
//! and the superblocks' own checksums changes: the builder keeps the seed of all other checksums
//! apart from the id, so that this is enough.

use std::io::{self, Read, Seek, SeekFrom, Write};

use crc::{CRC_32_ISCSI, Crc};
use uuid::Uuid;

/// Where the first superblock lies, and how long one is.
const FIRST: u64 = 1024;
const LENGTH: usize = 1024;

const FIRST_DATA_BLOCK: usize = 0x14;
const LOG_BLOCK_SIZE: usize = 0x18;
const BLOCKS: usize = 0x04;
const BLOCKS_PER_GROUP: usize = 0x20;
const MAGIC: usize = 0x38;
const GROUP: usize = 0x5a;
const COMPATIBLE: usize = 0x5c;
const INCOMPATIBLE: usize = 0x60;
const READ_ONLY: usize = 0x64;
const ID: usize = 0x68;
const BLOCKS_HIGH: usize = 0x150;
const BACKUP_GROUPS: usize = 0x24c;
const CHECKSUM: usize = 0x3fc;

/// Its journal must be replayed, and has a superblock of before.
const NEEDS_RECOVERY: u32 = 0x4;
const SIXTY_FOUR_BIT: u32 = 0x80;
const CHECKSUM_SEED: u32 = 0x2000;
const SPARSE_SUPER: u32 = 0x1;
const METADATA_CHECKSUMS: u32 = 0x400;
const SPARSE_SUPER_2: u32 = 0x200;

/// The copies that are looked for at most: of a file system without `sparse_super` each group has
/// one, and an image of ours has it.
const MOST_GROUPS: u64 = 1 << 20;

/// Gives the ext4 that `volume` is another id. Returns why it keeps the one that it has, where it
/// does; what is no ext4 is left alone.
pub(super) fn renew(
    volume: &mut (impl Read + Write + Seek),
    id: Uuid,
) -> io::Result<Option<&'static str>> {
    let Some(first) = Superblock::read(volume, FIRST)? else { return Ok(None) };
    if first.long(INCOMPATIBLE) & NEEDS_RECOVERY != 0 {
        return Ok(Some("it was not unmounted, and keeps its id"));
    }
    let has_checksums = first.long(READ_ONLY) & METADATA_CHECKSUMS != 0;
    if has_checksums && first.long(INCOMPATIBLE) & CHECKSUM_SEED == 0 {
        return Ok(Some("all its checksums are made from its id, which it keeps"));
    }
    let copies = first.copies();
    first.renew(volume, FIRST, id)?;
    for (group, offset) in copies {
        let copy = Superblock::read(volume, offset)?;
        // A copy says which group it is of: nothing else is taken for one.
        if let Some(copy) = copy.filter(|copy| u64::from(copy.short(GROUP)) == group & 0xffff) {
            copy.renew(volume, offset, id)?;
        }
    }
    Ok(None)
}

struct Superblock([u8; LENGTH]);

impl Superblock {
    /// The one at `offset`; `None` where there is none.
    fn read(volume: &mut (impl Read + Seek), offset: u64) -> io::Result<Option<Self>> {
        let mut bytes = [0; LENGTH];
        volume.seek(SeekFrom::Start(offset))?;
        match volume.read_exact(&mut bytes) {
            Ok(()) => Ok(Some(Self(bytes)).filter(|it| it.short(MAGIC) == 0xef53)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn renew(mut self, volume: &mut (impl Write + Seek), offset: u64, id: Uuid) -> io::Result<()> {
        self.0[ID..ID + 16].copy_from_slice(id.as_bytes());
        if self.long(READ_ONLY) & METADATA_CHECKSUMS != 0 {
            let sum = checksum(&self.0[..CHECKSUM]);
            self.0[CHECKSUM..].copy_from_slice(&sum.to_le_bytes());
        }
        volume.seek(SeekFrom::Start(offset))?;
        volume.write_all(&self.0)
    }

    /// Groups that may have a copy, and where it then lies.
    fn copies(&self) -> Vec<(u64, u64)> {
        let block = 1024_u64.checked_shl(self.long(LOG_BLOCK_SIZE)).unwrap_or(0);
        let per_group = u64::from(self.long(BLOCKS_PER_GROUP));
        if block == 0 || per_group == 0 {
            return Vec::new();
        }
        let high = if self.long(INCOMPATIBLE) & SIXTY_FOUR_BIT == 0 { 0 } else { BLOCKS_HIGH };
        let high = if high == 0 { 0 } else { u64::from(self.long(high)) << 32 };
        let blocks = high | u64::from(self.long(BLOCKS));
        let groups = blocks.div_ceil(per_group).min(MOST_GROUPS);
        let first = u64::from(self.long(FIRST_DATA_BLOCK));
        let place = |group: u64| {
            let at = group.checked_mul(per_group)?.checked_add(first)?.checked_mul(block)?;
            Some((group, at))
        };
        (1..groups).filter(|group| self.may_have_copy(*group)).filter_map(place).collect()
    }

    fn may_have_copy(&self, group: u64) -> bool {
        if self.long(COMPATIBLE) & SPARSE_SUPER_2 != 0 {
            let named = [BACKUP_GROUPS, BACKUP_GROUPS + 4].map(|at| u64::from(self.long(at)));
            return named.contains(&group);
        }
        let is_power = |base: u64| {
            let mut power = base;
            while power < group {
                power *= base;
            }
            power == group
        };
        let is_sparse = self.long(READ_ONLY) & SPARSE_SUPER != 0;
        !is_sparse || group == 1 || [3, 5, 7].into_iter().any(is_power)
    }

    fn short(&self, at: usize) -> u16 {
        u16::from_le_bytes([self.0[at], self.0[at + 1]])
    }

    fn long(&self, at: usize) -> u32 {
        u32::from(self.short(at)) | u32::from(self.short(at + 2)) << 16
    }
}

/// ext4's checksum: CRC-32C without the last inversion.
fn checksum(bytes: &[u8]) -> u32 {
    !Crc::<u32>::new(&CRC_32_ISCSI).checksum(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::path::{Path, PathBuf};

    use basalt_cmd::{Cmd, Output};

    use super::*;

    const NEW: Uuid = uuid::uuid!("5eed5eed-1111-4222-8333-444455556666");

    fn tool(name: &str) -> Cmd {
        let path = std::env::var("PATH").unwrap_or_default();
        Cmd::new(name).env("PATH", format!("{path}:/usr/sbin")).env("LC_ALL", "C")
    }

    struct Ground {
        _folder: tempfile::TempDir,
        image: PathBuf,
    }

    impl Ground {
        fn new(options: &[&str]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let image = folder.path().join("image");
            File::create(&image).unwrap().set_len(1100 << 20).unwrap();
            let mke2fs = tool("mke2fs").args(["-q", "-F", "-t", "ext4"]).args(options);
            mke2fs.arg(&image).run().unwrap();
            Self { _folder: folder, image }
        }

        fn renew(&self) -> Option<&'static str> {
            let mut file = File::options().read(true).write(true).open(&self.image).unwrap();
            renew(&mut file, NEW).unwrap()
        }

        fn check(&self) -> Output {
            tool("e2fsck").arg("-fn").arg(&self.image).run().unwrap()
        }
    }

    /// As `dumpe2fs` reads the superblock of a group.
    fn id_at(image: &Path, block: Option<u32>, size: &str) -> String {
        let dump = tool("dumpe2fs").arg("-h");
        let dump = match block {
            Some(block) => dump.args(["-o", &format!("superblock={block}")]).args(["-o", size]),
            None => dump,
        };
        let said = dump.arg(image).run().unwrap().stdout_text();
        let line = said.lines().find_map(|line| line.strip_prefix("Filesystem UUID:"));
        line.unwrap_or_default().trim().to_owned()
    }

    const OURS: &str = "metadata_csum,metadata_csum_seed,64bit";

    #[test]
    fn e2fsck_finds_nothing_and_every_copy_has_the_new_id() {
        let ground = Ground::new(&["-b", "4096", "-O", OURS]);
        assert_eq!(ground.renew(), None);
        ground.check();
        assert_eq!(id_at(&ground.image, None, ""), NEW.to_string());
        for block in [1, 3, 5, 7].map(|group| group * 32768) {
            let id = id_at(&ground.image, Some(block), "blocksize=4096");
            assert_eq!(id, NEW.to_string(), "{block}");
        }
    }

    #[test]
    fn other_sizes_and_features_are_followed() {
        for options in [
            &["-b", "1024", "-O", OURS][..],
            &["-b", "4096", "-O", "^metadata_csum,^64bit"],
            &["-b", "4096", "-O", "metadata_csum,metadata_csum_seed,sparse_super2,^resize_inode"],
        ] {
            let ground = Ground::new(options);
            assert_eq!(ground.renew(), None, "{options:?}");
            ground.check();
            assert_eq!(id_at(&ground.image, None, ""), NEW.to_string(), "{options:?}");
        }
    }

    #[test]
    fn what_would_be_damaged_by_another_id_keeps_its_own() {
        let ground = Ground::new(&["-b", "4096", "-O", "metadata_csum,^metadata_csum_seed"]);
        let before = id_at(&ground.image, None, "");
        assert!(ground.renew().unwrap().contains("checksums"));
        assert_eq!(id_at(&ground.image, None, ""), before);
        ground.check();
    }

    #[test]
    fn what_is_no_ext4_is_left_alone() {
        let mut volume = io::Cursor::new(vec![7; 4096]);
        assert_eq!(renew(&mut volume, NEW).unwrap(), None);
        assert_eq!(renew(&mut io::Cursor::new(vec![7; 100]), NEW).unwrap(), None);
        assert_eq!(volume.get_ref(), &vec![7; 4096]);
    }
}
