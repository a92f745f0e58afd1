//! A value that nothing else says, and every place where it is heard.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// One of a test's own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Canary(pub(crate) &'static str);

impl Canary {
    /// The value as it is, and as it might be written down: also within a text that is in base64 as
    /// a whole, where what stands before it shifts its bits.
    fn needles(self) -> Vec<Vec<u8>> {
        let shifted = (0..3_usize).map(|shift| {
            let text = STANDARD_NO_PAD.encode([&vec![b' '; shift][..], self.0.as_bytes()].concat());
            // What the bytes around it have a part of says nothing.
            let (begin, end) = ((shift * 8).div_ceil(6), (shift + self.0.len()) * 8 / 6);
            text.as_bytes()[begin..end].to_vec()
        });
        let plain = [self.0.as_bytes().to_vec(), hex::encode(self.0).into_bytes()];
        plain.into_iter().chain(shifted).collect()
    }

    /// Whether these bytes have it in them.
    pub(crate) fn is_in(self, bytes: &[u8]) -> bool {
        let needles = self.needles();
        needles.iter().any(|needle| bytes.windows(needle.len()).any(|window| window == needle))
    }

    /// Every file below `folder` that has it.
    pub(crate) fn files(self, folder: &Path) -> BTreeSet<String> {
        let walk = walkdir::WalkDir::new(folder).into_iter().filter_map(Result::ok);
        let files = walk.filter(|entry| entry.file_type().is_file());
        let found = files.filter(|one| fs::read(one.path()).is_ok_and(|bytes| self.is_in(&bytes)));
        found.map(|entry| entry.path().display().to_string()).collect()
    }

    /// Those of them that everybody may read.
    pub(crate) fn open_files(self, folder: &Path) -> Vec<String> {
        let mode = |path: &Path| fs::metadata(path).map_or(0, |file| file.permissions().mode());
        let is_open = |path: &String| {
            let path = Path::new(path);
            let mut above = path.ancestors().skip(1).take_while(|above| above.starts_with(folder));
            mode(path) & 0o004 != 0 && above.all(|above| mode(above) & 0o001 != 0)
        };
        self.files(folder).into_iter().filter(is_open).collect()
    }

    /// Listens to the command lines and environments of all processes of this machine while
    /// something is done; what was heard.
    pub(crate) fn in_processes(self, work: impl FnOnce()) -> BTreeSet<String> {
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let listener = scope.spawn(|| {
                let mut heard = BTreeSet::new();
                while !is_over.load(Ordering::SeqCst) {
                    heard.extend(self.now_in_processes());
                }
                heard
            });
            let over = Over(&is_over);
            work();
            drop(over);
            listener.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    fn now_in_processes(self) -> Vec<String> {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let files = entries.flat_map(|entry| ["cmdline", "environ"].map(|n| entry.path().join(n)));
        let texts = files.filter_map(|path| Some((fs::read(&path).ok()?, path)));
        let heard = texts.filter(|(text, _)| self.is_in(text));
        let told = |(text, path): (Vec<u8>, std::path::PathBuf)| {
            format!("{}: {}", path.display(), String::from_utf8_lossy(&text))
        };
        heard.map(told).collect()
    }
}

/// Ends the listening, also where a test has failed.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_canary_is_heard_however_it_is_written() {
    let canary = Canary("sings-here-0a1b");
    let base64 = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    for before in ["", "{", "{\"", "{\"a"] {
        let text = base64(&format!("{before}sings-here-0a1b\"}}"));
        assert!(canary.is_in(text.as_bytes()), "{text}");
    }
    assert!(canary.is_in(b"a sings-here-0a1b."));
    assert!(canary.is_in(hex::encode("sings-here-0a1b").as_bytes()));
    assert!(!canary.is_in(b"sings-here-0a1"));
    assert!(!canary.is_in(base64("sings-there-0a1b").as_bytes()));
    let heard = canary.in_processes(|| {
        let sleep = || basalt_cmd::Cmd::new("sh").args(["-c", "sleep 0.3"]);
        sleep().arg("sings-here-0a1b").run().unwrap();
        sleep().env("CAGE", "sings-here-0a1b").run().unwrap();
    });
    for file in ["/cmdline: ", "/environ: "] {
        assert!(heard.iter().any(|one| one.contains(file)), "{heard:?}");
    }
}
