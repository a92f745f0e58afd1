//! What single words of a definition must look like.

use basalt_sysroot::kargs;

use super::super::Format;

type Verdict = Result<(), (String, &'static str)>;

fn when(good: bool, what: impl FnOnce() -> String, hint: &'static str) -> Verdict {
    if good { Ok(()) } else { Err((what(), hint)) }
}

fn made_of(text: &str, extra: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || extra.contains(c))
}

pub(super) fn image_name(text: &str) -> Verdict {
    let lower = text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    let good = (1..=32).contains(&text.len()) && lower && !text.starts_with('-');
    when(
        good,
        || format!("`{text}` is no image name"),
        "use 1 to 32 lower-case letters, digits and `-`",
    )
}

/// OSTree's own rule for the name of a ref.
pub(super) fn ostree_ref(text: &str) -> Verdict {
    let part = |part: &str| made_of(part, "._-") && !part.starts_with(['.', '-']);
    when(
        text.split('/').all(part),
        || format!("`{text}` is no ref"),
        "use words of letters, digits, `.`, `_` and `-` with `/` between them",
    )
}

/// Debian policy 5.6.7, with an architecture as apt takes it refused: images are of one.
pub(super) fn package(text: &str) -> Verdict {
    let start = text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    let rest =
        text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c));
    // apt reads a `-` at the end as "remove it".
    when(
        text.len() >= 2 && start && rest && !text.ends_with('-'),
        || format!("`{text}` is no package name"),
        "use Debian's name alone; versions are in the lock",
    )
}

/// The loader's counting, libostree and the initramfs are tried with one suite; another one is a
/// change of code, not of a definition.
pub(super) fn suite(text: &str) -> Verdict {
    when(text == "trixie", || format!("the suite `{text}` is not known"), "known is `trixie`")
}

pub(super) fn extra_suite(text: &str) -> Verdict {
    let good = ["trixie-updates", "trixie-proposed-updates", "trixie-backports"].contains(&text);
    when(
        good,
        || format!("the extra suite `{text}` is not known"),
        "known are `trixie-updates`, `trixie-proposed-updates`, `trixie-backports`",
    )
}

pub(super) fn component(text: &str) -> Verdict {
    when(
        ["main", "contrib", "non-free", "non-free-firmware"].contains(&text),
        || format!("the component `{text}` is not known"),
        "known are `main`, `contrib`, `non-free`, `non-free-firmware`",
    )
}

pub(super) fn url(text: &str) -> Verdict {
    let known = ["http://", "https://"].iter().find_map(|s| text.strip_prefix(s));
    let good = known.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
        && text.chars().all(|c| c.is_ascii_graphic() && !"\"'<>\\`".contains(c));
    when(good, || format!("`{text}` is no URL"), "use `http://` or `https://`")
}

pub(super) fn absolute(text: &str) -> Verdict {
    let good = text.starts_with('/') && text.chars().all(|c| c.is_ascii_graphic());
    when(
        good,
        || format!("`{text}` is no absolute path"),
        "begin it with `/`, without blanks; `*` matches anything",
    )
}

pub(super) fn kernel_argument(text: &str) -> Verdict {
    match kargs::parse(text) {
        Ok(arguments) if arguments.len() == 1 && arguments[0] == text => Ok(()),
        Ok(_) => {
            Err((format!("`{text}` is no kernel argument"), "one a string, no blanks around it"))
        }
        Err(error) => {
            let text = error.to_string();
            let message = text.split_once(": ").map_or(text.as_str(), |(_, rest)| rest);
            Err((message.to_owned(), "one argument a string"))
        }
    }
}

pub(super) fn module(text: &str) -> Verdict {
    when(made_of(text, "_-"), || format!("`{text}` is no module name"), "as `virtio_blk`")
}

pub(super) fn module_folder(text: &str) -> Verdict {
    let good = text.starts_with("kernel/") && made_of(text, "_-/.") && !text.contains("..");
    when(good, || format!("`{text}` is no folder of modules"), "as `kernel/sound`")
}

pub(super) fn unit(text: &str) -> Verdict {
    const KINDS: [&str; 8] =
        ["service", "socket", "target", "timer", "mount", "automount", "path", "slice"];
    let kind = text.rsplit_once('.').map(|(name, kind)| (made_of(name, ":_.\\@-"), kind));
    let good = kind.is_some_and(|(named, kind)| named && KINDS.contains(&kind));
    when(good, || format!("`{text}` is no unit"), "write it whole, as `hostd.service`")
}

pub(super) fn format(text: &str) -> Verdict {
    let hint = "known are `raw`, a disk image, `qcow2`, the same for QEMU, and `live`";
    when(text.parse::<Format>().is_ok(), || format!("`{text}` is no format"), hint)
}

/// A file's name alone: programs lie in one folder.
pub(super) fn program(text: &str) -> Verdict {
    when(made_of(text, "_-"), || format!("`{text}` is no program's name"), "as `basalt-install`")
}

pub(super) fn account(text: &str) -> Verdict {
    let start = text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    let lower = !text.contains(|c: char| c.is_ascii_uppercase());
    let good = text.len() <= 31 && start && lower && made_of(text, "_-");
    when(
        good,
        || format!("`{text}` is no account name"),
        "use lower-case letters, digits, `_`, `-`",
    )
}

/// What `passwd` and `sysusers.d`, which expands `%`, can hold in a field.
pub(super) fn passwd_field(text: &str) -> Verdict {
    let good = !text.contains([':', '"', '\\', '%']) && !text.chars().any(char::is_control);
    when(
        good,
        || format!("{text:?} cannot stand in /etc/passwd"),
        "leave out `:`, `%`, quotes, line ends",
    )
}

/// A home folder or a shell.
pub(super) fn passwd_path(text: &str) -> Verdict {
    passwd_field(text)?;
    absolute(text).map_err(|(message, _)| (message, "begin it with `/`, without blanks"))
}
