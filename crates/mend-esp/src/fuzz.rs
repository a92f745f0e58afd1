//! Whatever a partition holds, it is mended or left, and the second time nothing is found.

use std::cell::RefCell;
use std::io;

use basalt_fuzz::run;

use crate::{Found, Volume, mend};

/// A partition in memory: some bytes from its beginning, then zeros.
struct Memory(RefCell<Vec<u8>>);

/// All that a small FAT32 takes is found in this.
const LENGTH: usize = 256 << 10;

impl Volume for Memory {
    fn read(&self, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        let all = self.0.borrow();
        let at = usize::try_from(at).map_err(io::Error::other)?;
        let end = at.checked_add(bytes.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        bytes.copy_from_slice(all.get(at..end).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let mut all = self.0.borrow_mut();
        let at = usize::try_from(at).map_err(io::Error::other)?;
        let end = at.checked_add(bytes.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        let place = all.get_mut(at..end).ok_or(io::ErrorKind::UnexpectedEof)?;
        place.copy_from_slice(bytes);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

/// 100 clusters of a sector each, one table of a sector behind two reserved ones, not unmounted:
/// `basalt` in the root has a folder that was never written.
fn torn() -> Vec<u8> {
    let mut all = vec![0; 8 << 10];
    all[11..17].copy_from_slice(&[0, 2, 1, 2, 0, 1]);
    all[32] = 103;
    all[36] = 1;
    all[44] = 2;
    all[48] = 1;
    all[65] = 1;
    all[510..512].copy_from_slice(&[0x55, 0xaa]);
    for (cluster, next) in [(2, 0x0fff_ffff_u32), (3, 0x0fff_ffff), (9, 10)] {
        let at = 1024 + cluster * 4;
        all[at..at + 4].copy_from_slice(&next.to_le_bytes());
    }
    let mut name = |cluster: usize, number: usize, name: &[u8; 11], first: u8| {
        let at = 1536 + (cluster - 2) * 512 + number * 32;
        all[at..at + 11].copy_from_slice(name);
        all[at + 11] = 0x10;
        all[at + 26] = first;
    };
    name(2, 0, b"BASALT     ", 3);
    name(3, 0, b".          ", 3);
    name(3, 1, b"..         ", 0);
    name(3, 2, b"FF34E6~1   ", 4);
    all
}

#[test]
fn fuzz_torn_partition() {
    run(&[&torn()], |bytes| {
        let mut all = bytes.to_vec();
        all.resize(LENGTH, 0);
        let memory = Memory(RefCell::new(all));
        if mend(&memory).is_ok() {
            assert_eq!(mend(&memory).unwrap(), Found::Well);
        }
    });
}

#[test]
fn the_seed_is_torn() {
    let memory = Memory(RefCell::new(torn()));
    let Found::Torn(mended) = mend(&memory).unwrap() else { panic!("it is well") };
    assert_eq!(mended.gone, ["BASALT/FF34E6~1"]);
    assert_eq!(mended.freed, 512);
}
