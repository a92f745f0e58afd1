//! Chains that end where they should not.

use super::*;

/// A cluster that is free.
fn free(esp: &Esp) -> u32 {
    esp.geometry.clusters - 5
}

#[test]
fn a_folder_that_has_grown_by_a_cluster_that_was_not_written_ends_in_front_of_it() {
    let kernels = Path::new(KERNEL).parent().unwrap().to_str().unwrap();
    for folder in ["basalt", "loader/entries", kernels] {
        let esp = Esp::with(&[KERNEL, ENTRY]).mounted();
        esp.set(esp.name(folder).first, free(&esp));
        let righted = vec![folder.to_owned()];
        assert_eq!(esp.mended(), Mended { righted, ..Mended::default() });
        esp.is_sound_with(&[KERNEL, ENTRY]);
    }
    let esp = Esp::with(&[KERNEL, ENTRY]).mounted();
    esp.set(esp.geometry.root, free(&esp));
    esp.mended();
    esp.is_sound_with(&[KERNEL, ENTRY]);
}

#[test]
fn a_file_whose_last_cluster_leads_astray_is_ended_there() {
    let esp = Esp::with(&[KERNEL, ENTRY]);
    let clusters = esp.clusters(KERNEL);
    let nowhere = [0x0fff_fff0, 1, 0x0fff_fff7, clusters[0], clusters[2]];
    for link in nowhere {
        esp.set(*clusters.last().unwrap(), link);
        let righted = vec![KERNEL.to_owned()];
        assert_eq!(esp.mended(), Mended { righted, ..Mended::default() }, "{link:x}");
        esp.is_sound_with(&[KERNEL, ENTRY]);
    }
}

#[test]
fn a_folder_whose_last_cluster_leads_astray_is_ended_there() {
    let kernels = Path::new(KERNEL).parent().unwrap().to_str().unwrap();
    let esp = Esp::with(&[KERNEL, ENTRY]);
    for folder in ["basalt", "loader/entries", kernels] {
        let first = esp.name(folder).first;
        for link in [0x0fff_fff0, 1, 0x0fff_fff7, first] {
            esp.set(first, link);
            assert_eq!(esp.mended().righted, [folder], "{link:x}");
            esp.is_sound_with(&[KERNEL, ENTRY]);
        }
    }
}

#[test]
fn a_chain_that_leads_to_itself_is_ended_where_the_file_is_whole_and_broken_where_not() {
    let esp = Esp::with(&[KERNEL, OTHER, FIRMWARES]);
    for path in [OTHER, FIRMWARES] {
        let clusters = esp.clusters(path);
        esp.set(clusters[if path == OTHER { 3 } else { clusters.len() - 1 }], clusters[1]);
    }
    let mended = esp.mended();
    assert_eq!(mended.gone, [OTHER]);
    assert_eq!(mended.righted, [FIRMWARES]);
    esp.is_sound_with(&[KERNEL, FIRMWARES]);
}

/// It loses what was never its content.
#[test]
fn a_file_with_more_clusters_than_it_needs_is_cut_where_it_ends() {
    let esp = Esp::with(&[KERNEL, OTHER, ENTRY]).mounted();
    for (path, size) in [(KERNEL, 10_000u32), (OTHER, 0)] {
        let (_, places) = esp.found(path);
        esp.file.write(places.last().unwrap() + 28, &size.to_le_bytes()).unwrap();
    }
    let mut mended = esp.mended();
    mended.righted.sort();
    let all = (content(KERNEL).len() + content(OTHER).len()).next_multiple_of(512) as u64;
    assert_eq!(mended.righted, [KERNEL, OTHER]);
    assert!(mended.freed.abs_diff(all - 10_000) < 1024, "{}", mended.freed);
    assert_eq!(
        (esp.reads(KERNEL), esp.reads(OTHER)),
        (content(KERNEL)[..10_000].to_owned(), String::new())
    );
    esp.is_sound_with(&[ENTRY]);
}

#[test]
fn a_file_that_leads_on_into_another_is_not_cut_in_that() {
    let esp = Esp::with(&[KERNEL, OTHER, ENTRY]).mounted();
    let (_, places) = esp.found(OTHER);
    esp.file.write(places.last().unwrap() + 28, &600u32.to_le_bytes()).unwrap();
    esp.set(esp.clusters(OTHER)[0], esp.clusters(KERNEL)[3]);
    esp.mended();
    esp.has(&[KERNEL, ENTRY]);
}

/// Other than a file of ours, it may have them for what is to come.
#[test]
fn clusters_that_somebody_elses_file_has_no_need_of_stay_its_own() {
    let esp = Esp::with(&[KERNEL, FIRMWARES]).mounted();
    let (_, places) = esp.found(FIRMWARES);
    esp.file.write(places.last().unwrap() + 28, &600u32.to_le_bytes()).unwrap();
    let clusters = esp.clusters(FIRMWARES);
    assert_eq!(esp.mended(), Mended::default());
    assert_eq!(esp.clusters(FIRMWARES), clusters);
}
