//! `basalt run --shell`: the image on a terminal, with a shell that is nowhere in the image.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use basalt_cmd::{Cmd, Running};
use qemu_tests::host::BOOT;
use qemu_tests::image::{Image, VARIABLE};

const TICK: Duration = Duration::from_millis(200);

/// A machine on a terminal, which here is a pipe and a file.
struct Terminal {
    running: Running,
    log: PathBuf,
}

impl Terminal {
    fn type_line(&mut self, line: &str) {
        let stdin = self.running.child().stdin.as_mut().expect("it is a pipe");
        writeln!(stdin, "{line}").expect("it reads");
    }

    fn wait_for(&mut self, text: &str) {
        let until = Instant::now() + BOOT;
        loop {
            let said =
                String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned();
            if said.contains(text) {
                return;
            }
            let ended = self.running.wait_for(TICK).expect("it is ours");
            assert!(ended.is_none() && Instant::now() < until, "no `{text}` in: {said}");
        }
    }
}

/// Where cargo puts programs: two folders above the test's own file.
fn basalt() -> PathBuf {
    let own = std::env::current_exe().expect("a test is a program");
    own.ancestors().nth(2).expect("it lies in target/release/deps").join("basalt")
}

#[test]
fn a_shell_on_the_console_is_roots_and_asks_for_nothing() {
    let image = match Image::from_env() {
        Ok(image) => image,
        Err(error) => {
            assert!(std::env::var_os("BASALT_NO_SKIP").is_none(), "{VARIABLE}: {error:#}");
            eprintln!("skipped: {error:#}");
            return;
        }
    };
    let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join("run.log");
    let output = File::create(&log).expect("a log");
    let errors = output.try_clone().expect("a log");
    let cmd = Cmd::new(basalt()).arg("run").arg(&image.disk).arg("--shell");
    let running = cmd.spawn(Stdio::piped(), output.into(), errors.into()).expect("basalt runs");
    let mut terminal = Terminal { running, log };
    terminal.wait_for("root@");
    // In two parts, for the terminal shows what is typed, too.
    terminal.type_line("echo it-is-$(id -un)-in-$(. /etc/os-release; echo $ID)");
    terminal.wait_for("it-is-root-in-basalt");
    terminal.type_line("poweroff");
    let ended = terminal.running.wait_for(BOOT).expect("it is ours");
    assert!(ended.is_some_and(|status| status.success()), "{ended:?}");
}
