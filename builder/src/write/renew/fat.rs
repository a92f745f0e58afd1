//! The serial number of a FAT32, in its boot sector and the copy of it.

use std::io::{self, Read, Seek, SeekFrom, Write};

use anyhow::{Result, bail};

/// Offsets in a boot sector (Microsoft's FAT32 specification, version 1.03).
const BYTES_PER_SECTOR: usize = 11;
const BACKUP: usize = 50;
const SERIAL: usize = 67;
const KIND: usize = 82;
const SIGNATURE: usize = 510;

/// Gives the FAT32 that `volume` is another serial number.
///
/// # Errors
/// It is no FAT32, or cannot be read.
pub(super) fn renew(volume: &mut (impl Read + Write + Seek), serial: u32) -> Result<()> {
    let boot = boot_sector(volume, 0)?;
    let Some(boot) = boot else { bail!("the EFI partition holds no FAT32") };
    set(volume, 0, serial)?;
    let short = |at: usize| u64::from(u16::from_le_bytes([boot[at], boot[at + 1]]));
    let backup = short(BACKUP) * short(BYTES_PER_SECTOR);
    // 0 and all ones say that there is none.
    if short(BACKUP) != 0 && short(BACKUP) != 0xffff && boot_sector(volume, backup)?.is_some() {
        set(volume, backup, serial)?;
    }
    Ok(())
}

/// A boot sector of a FAT32, if there is one at `offset`.
fn boot_sector(volume: &mut (impl Read + Seek), offset: u64) -> io::Result<Option<[u8; 512]>> {
    let mut sector = [0; 512];
    volume.seek(SeekFrom::Start(offset))?;
    volume.read_exact(&mut sector)?;
    let is_one = sector[KIND..].starts_with(b"FAT32   ") && sector[SIGNATURE..] == [0x55, 0xaa];
    Ok(is_one.then_some(sector))
}

fn set(volume: &mut (impl Write + Seek), boot: u64, serial: u32) -> io::Result<()> {
    volume.seek(SeekFrom::Start(boot + SERIAL as u64))?;
    volume.write_all(&serial.to_le_bytes())
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn check(sector: u16) {
        let mut volume = Cursor::new(vec![0; 300 << 20]);
        let options = fatfs::FormatVolumeOptions::new()
            .fat_type(fatfs::FatType::Fat32)
            .bytes_per_sector(sector)
            .bytes_per_cluster(4096)
            .volume_id(1);
        fatfs::format_volume(&mut volume, options).unwrap();
        renew(&mut volume, 0x1234_5678).unwrap();
        let bytes = volume.get_ref();
        let backup = 6 * usize::from(sector);
        for at in [0, backup] {
            assert_eq!(bytes[at + SERIAL..][..4], 0x1234_5678_u32.to_le_bytes(), "{sector} {at}");
        }
        volume.set_position(0);
        let fat = fatfs::FileSystem::new(volume, fatfs::FsOptions::new()).unwrap();
        assert_eq!(fat.volume_id(), 0x1234_5678);
    }

    #[test]
    fn both_boot_sectors_have_the_new_serial_number() {
        check(512);
        check(4096);
    }

    #[test]
    fn what_is_no_fat_is_left_alone() {
        let mut volume = Cursor::new(vec![7; 4096]);
        renew(&mut volume, 1).unwrap_err();
        assert_eq!(volume.get_ref(), &vec![7; 4096]);
    }
}
