//! The commands: each has its options in a table and a function that makes a value of them.

mod accounts;
mod bootloader;
mod disks;
mod firewall;
mod installer;
mod network;
mod ostree;
mod part;
mod raid;
mod system;
mod unusable;

use basalt_document::nearest;

use crate::diagnostic::Log;
use crate::hide;
use crate::lex::Word;
use crate::model::{At, Kickstart};
use crate::option::{self, Accepted, Args, Syntax};

/// What carries a command out.
pub(crate) type Carry = fn(&Args, &mut Kickstart, &mut Log);

/// A command that has an effect.
struct Command {
    names: &'static [&'static str],
    syntax: Syntax,
    carry: Carry,
}

const COMMANDS: &[Command] = &[
    accounts::ROOTPW,
    accounts::USER,
    accounts::GROUP,
    accounts::SSHKEY,
    bootloader::BOOTLOADER,
    disks::CLEARPART,
    disks::ZEROMBR,
    disks::IGNOREDISK,
    disks::AUTOPART,
    disks::REQPART,
    firewall::FIREWALL,
    installer::END,
    installer::DISPLAY,
    installer::LOGGING,
    installer::UPDATES,
    installer::EULA,
    installer::FIRSTBOOT,
    network::HOSTNAME,
    network::NETWORK,
    ostree::OSTREESETUP,
    part::PART,
    raid::RAID,
    system::TIMEZONE,
    system::TIMESOURCE,
    system::KEYBOARD,
    system::LANG,
    system::SERVICES,
    system::SELINUX,
];

/// Reads one command into the kickstart.
pub(crate) fn read(words: Vec<Word>, kickstart: &mut Kickstart, log: &mut Log) {
    let Some(name) = words.first() else { return };
    if let Some(command) = COMMANDS.iter().find(|it| it.names.contains(&name.text.as_str())) {
        if let Some(args) = option::read(words, &command.syntax, log) {
            (command.carry)(&args, kickstart, log);
        }
        return;
    }
    let words = name.span.to(words.last().unwrap_or(name).span);
    if unusable::tell(name, words, log) {
        return;
    }
    let hint = nearest(&name.text, &names());
    log.error(name.span, format!("unknown command `{}`", name.text), &hint);
}

/// All options that a command takes.
pub(crate) fn options() -> impl Iterator<Item = Accepted> {
    COMMANDS.iter().flat_map(|command| command.syntax.accepted(command.names[0]))
}

/// Whether there is such a command, here or in Anaconda.
pub(crate) fn is_known(name: &str) -> bool {
    names().contains(&name)
}

fn names() -> Vec<&'static str> {
    let ours = COMMANDS.iter().flat_map(|command| command.names).copied();
    ours.chain(unusable::names()).collect()
}

/// Keeps what may be said once; what is said again is told.
fn once<T>(field: &mut Option<At<T>>, args: &Args, value: T, log: &mut Log) {
    if field.is_some() {
        let message = format!("`{}` stands here for the second time", args.command.text);
        log.error(args.span, message, "Anaconda would mix both; leave one of them away");
        return;
    }
    *field = Some(at(args, value));
}

/// A URL that is kept: without a password, which whoever reads the model would see.
fn public_url(word: &Word, log: &mut Log) -> String {
    match hide::user_of_url(word) {
        Some(user) => {
            let hint = "leave it away: what is fetched is signed, and need not be secret";
            log.error(user, "a password in a URL", hint);
            String::new()
        }
        None => word.text.clone(),
    }
}

fn at<T>(args: &Args, value: T) -> At<T> {
    At { value, span: args.span }
}
