//! Fuzz targets.

use crate::{Included, NotRead, Parsed, parse};

const SEED: &str = include_str!("../tests/corpus/good-full.ks");
const ODD: &str = "%include a\n%ksappend b\n%post --nochroot\n%include a\n%end\nrootpw 'ä\\\" b\n\
                   %addon basalt\nlabel = a=b, c\ntoken = x\n%end\nraid /var --device=md0 --level=1";

/// Every place lies in its file, and whatever is said can be shown.
fn check(parsed: &Parsed) {
    for said in &parsed.diagnostics {
        let text = parsed.sources.shown(said.span.file);
        assert!(said.span.file < parsed.sources.count());
        assert!(text.get(said.span.start..said.span.end).is_some(), "{said:?}");
        let shown = said.mistake(&parsed.sources).to_string();
        assert!(!shown.is_empty());
    }
}

#[test]
fn fuzz_kickstart() {
    basalt_fuzz::run_on_text!(&[SEED, ODD], |text| {
        // What is included is the second half of it.
        let (first, second) = text.split_once("\n\n\n").unwrap_or((text, "%include x\n"));
        let mut left = 20;
        check(&parse("a.ks", first, &mut |include| {
            left -= 1;
            let included = Included { name: include.what.to_owned(), text: second.to_owned() };
            if left > 0 { Ok(included) } else { Err(NotRead::Missing("no more".to_owned())) }
        }));
    });
}

#[test]
fn fuzz_disk_selector() {
    let seeds = &["@smallest&size>=1.5TB&bus=nvme&model=a*b", "/dev/disk/by-id/ata-x", "sda1"];
    basalt_fuzz::run_on_text!(seeds, |text| {
        match text.parse::<crate::disk::DiskSelector>() {
            Ok(selector) => assert_eq!(selector.to_string().parse(), Ok(selector)),
            Err(error) => assert!(text.get(error.range).is_some()),
        }
    });
}
