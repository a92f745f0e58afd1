//! Parts of long names.

use super::*;

#[test]
fn parts_of_a_long_name_whose_short_one_was_not_written_go() {
    let esp = Esp::with(&[KERNEL, OTHER, ENTRY, "loader/entries/basalt-2-b.conf"]).mounted();
    let other = Path::new(OTHER).parent().unwrap().to_str().unwrap();
    for path in [other, "loader/entries/basalt-2-b.conf"] {
        let (_, places) = esp.found(path);
        esp.file.write(*places.last().unwrap(), &[0; 32]).unwrap();
    }
    let mended = esp.mended();
    assert_eq!((mended.gone.len(), mended.left.len()), (0, 0));
    esp.is_sound_with(&[KERNEL, ENTRY]);
}

#[test]
fn parts_of_a_long_name_that_lost_its_beginning_go_and_the_short_one_stays() {
    let esp = Esp::with(&[KERNEL, OTHER, ENTRY]).mounted();
    let other = Path::new(OTHER).parent().unwrap().to_str().unwrap();
    let (_, places) = esp.found(other);
    esp.file.write(places[0], &[GONE]).unwrap();
    assert_eq!(esp.mended(), Mended::default());
    esp.is_sound_with(&[KERNEL, ENTRY]);
    assert_eq!(esp.reads("basalt/FEDCBA~1/linux"), content(OTHER));
}

#[test]
fn parts_of_long_names_of_somebody_elses_stay() {
    let esp = Esp::with(&[KERNEL, "EFI/vendor/a-tool-with-a-long-name.efi"]);
    let (_, places) = esp.found("EFI/vendor/a-tool-with-a-long-name.efi");
    esp.file.write(places[0], &[GONE]).unwrap();
    let before = esp.bytes();
    assert_eq!(mend(&esp.file).unwrap(), Found::Well);
    assert!(esp.bytes() == before, "it was written to");
}
