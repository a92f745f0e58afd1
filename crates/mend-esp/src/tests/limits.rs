//! What nobody can decide about.

use super::*;

/// It is told, and nothing is written.
fn refuses(esp: &Esp, why: &str) {
    let before = esp.bytes();
    assert_eq!(mend(&esp.file).unwrap_err().to_string(), why);
    assert_eq!(look(&esp.file).unwrap_err().to_string(), why);
    assert!(esp.bytes() == before, "it was written to");
}

#[test]
fn a_fat32_of_a_kind_that_nobody_makes_is_refused_and_it_is_said_why() {
    let large = 40_000u32.to_le_bytes();
    let refused: [(u64, &[u8], &str); 4] = [
        (16, &[3], "it has 3 copies of its table; known are one and two"),
        (36, &large, "its table has 20 MiB; those of up to 16 are looked at"),
        (40, &[0x80], "only one of its tables is in use"),
        (19, &[1, 0], "it says its length as a FAT16 does"),
    ];
    for (at, bytes, why) in refused {
        let esp = Esp::with(&[KERNEL]).mounted();
        esp.forgets(KERNEL);
        esp.file.write(at, bytes).unwrap();
        refuses(&esp, why);
    }
}

/// It would take as long as there are names, times what there is.
#[test]
fn names_that_lead_to_the_same_clusters_over_and_over_are_refused() {
    let esp = Esp::with(&[KERNEL]).mounted();
    let large = "x".repeat(20 << 20);
    put(&esp.path, "large", &large);
    let first = esp.name("large").first.to_le_bytes();
    for number in 0..8 {
        let name = format!("F{number}");
        put(&esp.path, &name, "");
        let place = *esp.found(&name).1.last().unwrap();
        esp.file.write(place + 20, &first[2..]).unwrap();
        esp.file.write(place + 26, &first[..2]).unwrap();
        esp.file.write(place + 28, &(20u32 << 20).to_le_bytes()).unwrap();
    }
    refuses(&esp, "its names lead to the same clusters over and over");
}

#[test]
fn the_count_of_what_is_free_is_written_nowhere_but_in_front_of_the_tables() {
    let esp = Esp::with(&[KERNEL, OTHER]).mounted();
    let mut info = [0; 512];
    esp.file.read(512, &mut info).unwrap();
    for sector in [40u16, 0xffff] {
        esp.forgets(OTHER);
        esp.file.write(48, &sector.to_le_bytes()).unwrap();
        let at = u64::from(sector) * 512;
        let mut before = [0; 512];
        esp.file.read(at, &mut before).unwrap();
        if sector == 0xffff {
            esp.file.write(at, &info).unwrap();
            before = info;
        }
        assert_eq!(esp.mended().gone, [OTHER]);
        let mut after = [0; 512];
        esp.file.read(at, &mut after).unwrap();
        assert_eq!(after, before);
        put(&esp.path, OTHER, &content(OTHER));
    }
}

#[test]
fn a_count_of_what_is_free_that_nobody_can_read_is_no_trouble() {
    let esp = Esp::with(&[KERNEL, OTHER]).mounted();
    esp.forgets(OTHER);
    esp.file.write(48, &[0xff, 0xff]).unwrap();
    esp.file.set_len(20 << 20).unwrap();
    assert_eq!(esp.mended().gone, [OTHER]);
}
