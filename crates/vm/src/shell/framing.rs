//! How a command travels over a serial line and its answer comes back. Pure.
//!
//! The markers are put together in the guest, so that a line that is echoed or listed is never
//! taken for one.

/// The unit's name in the guest.
const UNIT: &str = "basalt-test-shell.service";
/// What the guest's end says when it is up, before the boot id.
const UP: &str = "basalt-shell-up ";

/// The guest's end. `sh` reads the terminal as its script: it would prompt if it read stdin.
/// The terminal neither echoes nor changes what passes.
const UNIT_TEXT: &str = "\
[Unit]
Description=Root shell of a test
StartLimitIntervalSec=0

[Service]
ExecStart=/bin/sh -c 'stty raw -echo clocal; read -r boot </proc/sys/kernel/random/boot_id; \
echo; echo \"basalt-shell-up $$boot\"; exec /bin/sh /dev/ttyS1'
StandardInput=tty-force
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS1
Environment=HOME=/root TERM=dumb SYSTEMD_PAGER=cat
Restart=always
RestartSec=1
TimeoutStopSec=2
";

/// What a command printed and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its exit code; above 128 it was killed by that signal plus 128.
    pub code: i32,
    /// Its stdout and stderr as they came, without the final newline.
    pub text: String,
}

/// Name and text of the credentials that bring the shell into a guest.
pub(crate) fn credentials() -> [(String, String); 2] {
    [
        (format!("systemd.extra-unit.{UNIT}"), UNIT_TEXT.to_owned()),
        // A name of its own, so that others may extend the same target (systemd 256).
        (
            "systemd.unit-dropin.multi-user.target~50-basalt-test-shell".to_owned(),
            format!("[Unit]\nWants={UNIT}\n"),
        ),
    ]
}

/// The line that runs a command and frames its answer. Its output goes through a pipe: programs
/// would page, colour and cut their lines on a terminal.
pub(super) fn request(command: &str, number: u32) -> String {
    let command = quoted(command);
    format!(
        "{{ printf '%s-begin-%d\\n' basalt {number}; /bin/sh -c {command} </dev/null 2>&1; \
         printf '\\n%s-end-%d %d\\n' basalt {number} $?; }} | cat\n"
    )
}

/// The answer to a request, once it is whole.
pub(super) fn answer(received: &str, number: u32) -> Option<Answer> {
    let received = received.replace("\r\n", "\n");
    let (_, text) = received.split_once(&format!("basalt-begin-{number}\n"))?;
    let (text, end) = text.rsplit_once(&format!("\nbasalt-end-{number} "))?;
    let (code, _) = end.split_once('\n')?;
    let text = text.strip_suffix('\n').unwrap_or(text).to_owned();
    Some(Answer { code: code.parse().ok()?, text })
}

/// The boot id that the guest's end named last.
pub(super) fn boot(received: &str) -> Option<&str> {
    let whole = received.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let (_, boot) = whole.rsplit_once(UP)?;
    boot.lines().next().map(str::trim)
}

/// One word of the shell's language, whatever the text.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
