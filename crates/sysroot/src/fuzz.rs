//! What a disk or the firmware holds is read without harm, whatever it is.

use basalt_fuzz::{run, run_on_text};

use crate::boot_file::BootFile;
use crate::entry::{BootEntry, EntryName, ResetEntry, ResetName, choose, next_serial};
use crate::kargs;
use crate::loader::{
    decode_boot_count_path, decode_entries, decode_failure, decode_part_uuid, decode_text,
};
use crate::slot::Slot;

fn variable(text: &str) -> Vec<u8> {
    let units = text.encode_utf16().flat_map(u16::to_le_bytes);
    [6, 0, 0, 0].into_iter().chain(units).collect()
}

#[test]
fn fuzz_boot_entry() {
    let entry = "title Basalt 3 (base)\nsort-key basalt\nversion 7\n\
        options root=/dev/gpt-auto-root rw\ninitrd /basalt/4567/initrd\nlinux /basalt/0123/linux\n";
    let reset = entry.replace("sort-key basalt", "sort-key basalt-reset");
    run_on_text!(&[entry, &reset], |text| {
        // What is taken can be written again.
        if let Ok(entry) = BootEntry::parse(text) {
            let again = entry.render().map(|text| BootEntry::parse(&text));
            assert_eq!(again, Ok(Ok(entry)));
        }
        if let Ok(entry) = ResetEntry::parse(text) {
            let again = entry.render().map(|text| ResetEntry::parse(&text));
            assert_eq!(again, Ok(Ok(entry)));
        }
    });
}

#[test]
fn fuzz_names_of_entries() {
    let seed = "basalt-7-a+2-1.conf\nbasalt-9-b.conf\nbasalt-1-a+0-3.conf\nbasalt-reset-a+0-1.conf";
    run_on_text!(&[seed], |text| {
        let names: Vec<EntryName> = text.lines().filter_map(|line| line.parse().ok()).collect();
        for name in &names {
            assert_eq!(name.to_string().parse(), Ok(*name));
        }
        for name in text.lines().filter_map(|line| line.parse::<ResetName>().ok()) {
            assert_eq!(name.to_string().parse(), Ok(name));
        }
        if names.iter().all(|name| name.serial < u64::MAX) {
            let next = next_serial(&names);
            assert!(names.iter().all(|name| name.serial < next));
        }
        let _ = choose(&names);
    });
}

#[test]
fn fuzz_variables_of_the_firmware() {
    let entries = variable("basalt-7-a+2-1.conf\0auto-reboot-to-firmware-setup\0");
    let path = variable("\\loader\\entries\\basalt-2-b+2-1.conf\0");
    let uuid = variable("4A67B082-0A4C-41CF-B6C7-440B29BB8C4F\0");
    let failure = b"\x07\0\0\0boot 4a67b082-0a4c-41cf-b6c7-440b29bb8c4f\ngate: failed".as_slice();
    run(&[&entries, &path, &uuid, failure], |bytes| {
        let _ = (decode_text(bytes), decode_entries(bytes), decode_failure(bytes));
        let _ = (decode_boot_count_path(bytes), decode_part_uuid(bytes));
    });
}

#[test]
fn fuzz_kernel_arguments_and_paths() {
    let cmdline = "root=/dev/gpt-auto-root \"a b\" androidboot.slot_suffix=_a ostree quiet";
    let path = format!("/basalt/{}/linux", "0".repeat(64));
    run_on_text!(&[cmdline, "# a comment\nconsole=ttyS0\n", &path], |text| {
        let _ = (kargs::parse(text), Slot::from_cmdline(text), BootFile::parse(text));
    });
}
