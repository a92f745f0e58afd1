//! `firewall`.

use super::{Command, once};
use crate::diagnostic::Log;
use crate::lex::Word;
use crate::model::{Firewall, Kickstart, Port, Protocol};
use crate::option::{Args, Syntax, flag, value};

const KEPT_OUT: &str = "nothing is let in unless it is said";
/// What the image's own rules know nothing of.
const OPENS: [&str; 8] =
    ["--disabled", "--port", "--trust", "--service", "--ssh", "--http", "--smtp", "--ftp"];

pub(super) const FIREWALL: Command = Command {
    names: &["firewall"],
    syntax: Syntax::new(
        (0, 0),
        &[
            flag(&["--enabled", "--enable"]).anyway("there is one unless it is `--disabled`"),
            flag(&["--disabled", "--disable"]),
            value(&["--port"]).repeated(),
            value(&["--trust"]).repeated(),
            value(&["--service"]).repeated(),
            value(&["--remove-service"]).anyway(KEPT_OUT).repeated(),
            flag(&["--ssh"]),
            flag(&["--http"]),
            flag(&["--smtp"]),
            flag(&["--ftp"]),
            flag(&["--use-system-defaults"]).anyway("the image's own rules stay in any case"),
        ],
    ),
    carry: firewall,
};

fn firewall(args: &Args, kickstart: &mut Kickstart, log: &mut Log) {
    args.only_one(&["--enabled", "--disabled"], log);
    let words = |name: &str| -> Vec<Word> { args.values(name).flat_map(Word::list).collect() };
    let texts = |name: &str| -> Vec<String> { words(name).into_iter().map(|it| it.text).collect() };
    let mut services = texts("--service");
    let short = ["--ftp", "--http", "--smtp", "--ssh"];
    services.extend(short.iter().filter(|it| args.has(it)).map(|it| it[2..].to_owned()));
    let removed = words("--remove-service");
    if let Some(both) = removed.iter().find(|it| services.contains(&it.text)) {
        log.error(both.span, "it is let in and kept out", "leave one of them away");
    } else {
        tell_of_no_effect(args, &removed, log);
    }
    let firewall = Firewall {
        enabled: !args.has("--disabled"),
        use_system_defaults: args.has("--use-system-defaults"),
        ports: words("--port").iter().filter_map(|word| port(word, log)).collect(),
        services,
        remove_services: removed.into_iter().map(|it| it.text).collect(),
        trust: args.values("--trust").map(|word| word.text.clone()).collect(),
    };
    once(&mut kickstart.firewall, args, firewall, log);
}

/// Options that have an effect, but not beside what else is said.
fn tell_of_no_effect(args: &Args, removed: &[Word], log: &mut Log) {
    if args.has("--use-system-defaults") {
        for option in OPENS.iter().filter(|option| args.has(option)) {
            let message = format!("`{option}` has no effect beside `--use-system-defaults`");
            log.warning(args.at(option), message, "leave one of them away");
        }
    }
    if args.has("--disabled") && !removed.is_empty() {
        let message = "`--remove-service` has no effect beside `--disabled`: all is let in";
        return log.warning(args.at("--remove-service"), message, "leave one of them away");
    }
    for ssh in removed.iter().filter(|name| name.text == "ssh") {
        let message = "`--remove-service=ssh` has no effect: sshd opens its port while it runs";
        log.warning(ssh.span, message, "leave it away: it runs once somebody has a key");
    }
}

/// `22`, `22:tcp`, `6000-6010:udp`.
fn port(word: &Word, log: &mut Log) -> Option<Port> {
    let (ports, protocol) = word.text.split_once(':').unwrap_or((&word.text, "tcp"));
    let (from, to) = ports.split_once('-').unwrap_or((ports, ports));
    let number = |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port > 0);
    let protocol = match protocol.trim() {
        "tcp" => Some(Protocol::Tcp),
        "udp" => Some(Protocol::Udp),
        _ => None,
    };
    match (number(from), number(to), protocol) {
        (Some(port), Some(to), Some(protocol)) if port <= to => Some(Port { port, to, protocol }),
        _ => {
            log.error(word.span, "this is no port", "as `22`, `53:udp` or `6000-6010:tcp`");
            None
        }
    }
}
