//! Clusters that two names lead to.

use super::*;

/// The last cluster of a file is another.
fn strays(esp: &Esp, stray: &str, into: u32) {
    let clusters = esp.clusters(stray);
    let [.., before, last] = clusters[..] else { panic!("{stray} is short") };
    esp.set(before, into);
    esp.set(last, 0);
}

#[test]
fn a_file_that_strays_into_a_folder_takes_nothing_from_it() {
    let folder = Path::new(KERNEL).parent().unwrap().to_str().unwrap();
    for stray in [FIRMWARES, "loader/entries/old.conf"] {
        for files in [[stray, KERNEL, ENTRY], [KERNEL, ENTRY, stray]] {
            let esp = Esp::with(&files).mounted();
            strays(&esp, stray, esp.name(folder).first);
            let mended = esp.mended();
            assert_eq!((&mended.gone, mended.freed), (&Vec::new(), 0), "{stray}");
            assert_eq!(mended.left, [folder]);
            esp.has(&[KERNEL, ENTRY]);
        }
    }
}

/// A folder that leads on into a kernel has names that are none.
#[test]
fn nothing_is_written_into_a_kernel_that_a_folder_leads_into() {
    let esp = Esp::with(&[KERNEL, OTHER, ENTRY]).mounted();
    let other = Path::new(OTHER).parent().unwrap().to_str().unwrap();
    esp.set(esp.name(other).first, esp.clusters(KERNEL)[1]);
    assert_eq!(esp.mended().left, [other]);
    esp.has(&[KERNEL, OTHER, ENTRY]);
}

#[test]
fn a_folder_that_leads_into_a_kernel_longer_than_any_folder_goes() {
    let esp = Esp::with(&[OTHER, ENTRY]).mounted();
    let other = Path::new(OTHER).parent().unwrap().to_str().unwrap();
    let kernel = "k".repeat(3 << 20);
    put(&esp.path, "basalt/linux", &kernel);
    esp.set(esp.name(other).first, esp.clusters("basalt/linux")[1]);
    assert_eq!(esp.mended().gone, [other]);
    assert!(esp.reads("basalt/linux") == kernel, "the kernel is another");
    esp.is_sound_with(&[ENTRY]);
}

/// Whose the last cluster is, the table does not say.
#[test]
fn two_names_of_what_was_not_written_to_its_end_both_stay() {
    let second = "loader/entries/basalt-1-a+2-1.conf";
    let esp = Esp::with(&[KERNEL]).mounted();
    for folder in ["loader", "loader/entries"] {
        tool("mmd").arg("-i").arg(&esp.path).arg(format!("::{folder}")).run().unwrap();
    }
    [ENTRY, second].iter().for_each(|path| put(&esp.path, path, "title Basalt\n"));
    let (one, (_, places)) = (esp.name(ENTRY), esp.found(second));
    esp.file.write(places.last().unwrap() + 26, &one.first.to_le_bytes()[..2]).unwrap();
    esp.set(one.first, 0);
    assert_eq!(esp.mended().righted, [ENTRY, second]);
    for path in [ENTRY, second] {
        assert_eq!(esp.reads(path), "title Basalt");
    }
}

/// Each is read to its end, and what follows is not the same to both.
#[test]
fn a_file_is_not_ended_where_another_goes_on() {
    let esp = Esp::with(&[KERNEL, OTHER, ENTRY]);
    let kernel = esp.clusters(KERNEL);
    let [.., before, last] = kernel[..] else { panic!("it is short") };
    esp.set(last, before);
    let (_, places) = esp.found(OTHER);
    let place = places.last().unwrap();
    esp.file.write(place + 26, &last.to_le_bytes()[..2]).unwrap();
    esp.file.write(place + 28, &600u32.to_le_bytes()).unwrap();
    mend(&esp.file).unwrap();
    assert_eq!(esp.clusters(KERNEL), kernel);
}

/// The one of them that goes may be the one by which it was read.
#[test]
fn what_lies_in_a_folder_of_two_names_stays_where_one_of_them_goes() {
    let (name, within) = ("loader/entries/d", "loader/entries/d/s");
    let esp = Esp::with(&[KERNEL, ENTRY, FIRMWARES]);
    let kernels = esp.name(Path::new(KERNEL).parent().unwrap().to_str().unwrap()).first;
    for folder in [name, within] {
        tool("mmd").arg("-i").arg(&esp.path).arg(format!("::{folder}")).run().unwrap();
    }
    let place = *esp.found(within).1.last().unwrap();
    esp.file.write(place + 26, &kernels.to_le_bytes()[..2]).unwrap();
    let (folder, firmwares) = (esp.name(name).first, esp.clusters(FIRMWARES));
    esp.set(*firmwares.last().unwrap(), folder);
    esp.set_in(0, folder, 0);
    assert_eq!(esp.mended().gone, [name]);
    esp.has(&[KERNEL, ENTRY, FIRMWARES]);
}
