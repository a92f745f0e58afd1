//! What concerns the installer alone: `reboot` and its like, `text` and its like, `logging`,
//! `updates`, `eula`, `firstboot`.

use super::{Command, once, public_url};
use crate::model::{Display, End, EndAction, FirstBoot, Logging};
use crate::option::{Syntax, flag, value};

const NO_QUESTIONS: &str = "a host asks nothing at its first boot";
const SAY_IT: &str = "say in the kickstart what it would have asked";

pub(super) const END: Command = Command {
    names: &["reboot", "poweroff", "shutdown", "halt"],
    syntax: Syntax::new(
        (0, 0),
        &[
            flag(&["--eject"]),
            flag(&["--kexec"]).moot(
                "only a boot by the firmware shows that the loader is right",
                "leave it away",
            ),
        ],
    ),
    carry: |args, kickstart, log| {
        let action = match args.command.text.as_str() {
            "reboot" => EndAction::Reboot,
            "halt" => EndAction::Halt,
            _ => EndAction::PowerOff,
        };
        let value = End { action, eject: args.has("--eject") };
        match &kickstart.end {
            Some(before) if before.action != action => {
                let message = format!("`{}` contradicts what stands before", args.command.text);
                log.error(args.span, message, "one of `reboot`, `poweroff`, `halt`");
            }
            _ => once(&mut kickstart.end, args, value, log),
        }
    },
};

pub(super) const DISPLAY: Command = Command {
    names: &["text", "cmdline", "graphical"],
    syntax: Syntax::new(
        (0, 0),
        &[flag(&["--non-interactive"]).anyway("an installation by a kickstart asks nothing")],
    ),
    carry: |args, kickstart, log| {
        let value = match args.command.text.as_str() {
            "text" if args.has("--non-interactive") => Display::CmdLine,
            "text" => Display::Text,
            "cmdline" => Display::CmdLine,
            _ => Display::Graphical,
        };
        if args.command.text == "cmdline" && args.has("--non-interactive") {
            log.error(
                args.at("--non-interactive"),
                "`cmdline` asks nothing anyway",
                "leave it away",
            );
        }
        if value == Display::Graphical {
            log.warning(args.span, "the installer has no desktop, and shows text", "`text`");
        }
        once(&mut kickstart.display, args, value, log);
    },
};

pub(super) const LOGGING: Command = Command {
    names: &["logging"],
    syntax: Syntax::new(
        (0, 0),
        &[
            value(&["--host"]),
            value(&["--port"]),
            value(&["--level"]).moot("all is logged", "leave it away"),
        ],
    ),
    carry: |args, kickstart, log| {
        if args.has("--port") && !args.has("--host") {
            log.error(args.at("--port"), "`--port=` needs `--host=`", "`--host=` takes a name");
        }
        let port = args.number("--port", 1..=65535, log).and_then(|it| u16::try_from(it).ok());
        once(&mut kickstart.logging, args, Logging { host: args.text("--host"), port }, log);
    },
};

pub(super) const UPDATES: Command = Command {
    names: &["updates"],
    syntax: Syntax::new((1, 1), &[]),
    carry: |args, kickstart, log| {
        let Some(url) = args.words.first() else { return };
        let message = "`updates` has no effect: the installer comes with the image";
        log.warning(args.span, message, "build a newer image, and write it");
        let url = public_url(url, log);
        once(&mut kickstart.updates, args, url, log);
    },
};

pub(super) const EULA: Command = Command {
    names: &["eula"],
    syntax: Syntax::new(
        (0, 0),
        &[flag(&["--agreed", "--agree", "--accepted", "--accept"])
            .anyway("there is no licence to agree to")],
    ),
    carry: |args, kickstart, log| {
        if !args.has("--agreed") {
            log.error(args.span, "`eula` needs `--agreed`", "or leave it away: there is none here");
        }
        kickstart.eula = true;
    },
};

pub(super) const FIRSTBOOT: Command = Command {
    names: &["firstboot"],
    syntax: Syntax::new(
        (0, 0),
        &[
            flag(&["--disable", "--disabled"]).anyway(NO_QUESTIONS),
            flag(&["--enable", "--enabled"]).moot(NO_QUESTIONS, SAY_IT),
            flag(&["--reconfig"]).moot(NO_QUESTIONS, SAY_IT),
        ],
    ),
    carry: |args, kickstart, log| {
        args.only_one(&["--disable", "--enable", "--reconfig"], log);
        if args.has_none() {
            return log.error(args.span, "`firstboot` says nothing", "`firstboot --disable`");
        }
        let value = match () {
            () if args.has("--reconfig") => FirstBoot::Reconfig,
            () if args.has("--enable") => FirstBoot::Enable,
            () => FirstBoot::Disable,
        };
        once(&mut kickstart.firstboot, args, value, log);
    },
};
