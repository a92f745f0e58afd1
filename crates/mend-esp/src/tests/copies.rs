//! Tables that say not the same.

use super::*;

/// The sector of the first table that all of this lies in holds zeros.
fn lose_first_table(esp: &Esp) {
    esp.file.write(esp.geometry.tables[0], &[0; 512]).unwrap();
}

#[test]
fn what_the_second_table_alone_has_whole_is_taken_from_there() {
    let files = [KERNEL, ENTRY, "EFI/BOOT/BOOTX64.EFI"];
    let esp = Esp::with(&files);
    lose_first_table(&esp);
    let mended = esp.mended();
    assert_eq!((mended.gone.len(), mended.left.len(), mended.freed), (0, 0, 0));
    assert!(mended.righted.contains(&KERNEL.to_owned()), "{mended:?}");
    esp.is_sound_with(&files);
}

#[test]
fn what_only_the_second_table_has_whole_goes_if_it_is_somebody_elses() {
    let esp = Esp::with(&[KERNEL, OTHER, ENTRY]);
    let other = esp.name(OTHER).first;
    esp.set_in(0, other, 0);
    esp.set_in(1, other, esp.clusters(KERNEL)[1]);
    assert_eq!(esp.mended().gone, [OTHER]);
    esp.is_sound_with(&[KERNEL, ENTRY]);
}

/// Who comes with a tool may want it.
#[test]
fn what_the_second_table_says_of_a_name_that_was_left_stays() {
    let esp = Esp::with(&[KERNEL, FIRMWARES, OTHER]);
    let (first, kernel) = (esp.name(FIRMWARES).first, esp.clusters(KERNEL));
    let needs = content(FIRMWARES).len().div_ceil(512);
    esp.set_in(0, first, 0);
    esp.set_in(1, first, kernel[kernel.len() - needs + 1]);
    esp.forgets(OTHER);
    let place = usize::try_from(esp.geometry.tables[1]).unwrap() + first as usize * 4;
    let before = esp.bytes()[place..place + 4].to_vec();
    let mended = esp.mended();
    assert_eq!((mended.gone, mended.left), (vec![OTHER.to_owned()], vec![FIRMWARES.to_owned()]));
    assert_eq!(esp.bytes()[place..place + 4], before);
    esp.has(&[KERNEL]);
}

#[test]
fn a_second_table_that_lags_behind_is_made_what_the_first_is() {
    let esp = Esp::with(&[KERNEL, ENTRY]);
    for cluster in esp.clusters(KERNEL) {
        esp.set_in(1, cluster, 0);
    }
    assert_eq!(esp.mended(), Mended::default());
    esp.is_sound_with(&[KERNEL, ENTRY]);
}

/// Loses the sector that is written when it is cut off.
struct Lost<'a>(Cut<'a>);

impl Volume for Lost<'_> {
    fn read(&self, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.0.read(at, bytes)
    }

    fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let written = self.0.write(at, bytes);
        if written.is_err() && bytes.len() == 512 {
            self.0.file.write(at, &[0; 512])?;
        }
        written
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }
}

#[test]
fn a_sector_of_a_table_that_a_cut_loses_is_mended_by_the_other_table() {
    let other = Path::new(OTHER).parent().unwrap().to_str().unwrap();
    for writes in 0.. {
        let esp = Esp::with(&[KERNEL, OTHER, ENTRY, FIRMWARES]).mounted();
        esp.forgets(other);
        let lost = Lost(Cut { file: &esp.file, left: Cell::new(writes) });
        let ended = mend(&lost).is_ok();
        mend(&esp.file).unwrap();
        esp.is_sound_with(&[KERNEL, ENTRY, FIRMWARES]);
        if ended {
            return;
        }
    }
}
