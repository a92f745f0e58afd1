//! Sections: scripts, certificates, and those that cannot be carried out.

use crate::diagnostic::Log;
use crate::lex::Word;
use crate::model::{At, Certificate, Kickstart, Script, ScriptKind};
use crate::option::{self, Accepted, Args, Opt, Syntax, flag, value};
use crate::read::Body;
use crate::secret::Secret;
use crate::source::Span;

/// All that Anaconda knows.
pub(crate) const NAMES: [&str; 9] = [
    "%addon",
    "%anaconda",
    "%certificate",
    "%onerror",
    "%packages",
    "%post",
    "%pre",
    "%pre-install",
    "%traceback",
];

const SCRIPT: [Opt; 3] =
    [flag(&["--erroronfail"]), value(&["--interpreter"]), value(&["--log", "--logfile"])];
const ANY_SCRIPT: Syntax = Syntax::new((0, 0), &SCRIPT);
const POST: Syntax = Syntax::new((0, 0), &[flag(&["--nochroot"])]).with(&SCRIPT);
const CERTIFICATE: Syntax = Syntax::new(
    (0, 0),
    &[value(&["--filename"]).required(), value(&["--dir"]), value(&["--type"])],
);

/// All options that a section takes.
pub(crate) fn options() -> impl Iterator<Item = Accepted> {
    let scripts = ["%onerror", "%pre", "%pre-install", "%traceback"];
    let scripts = scripts.into_iter().flat_map(|name| ANY_SCRIPT.accepted(name));
    scripts.chain(POST.accepted("%post")).chain(CERTIFICATE.accepted("%certificate"))
}

pub(crate) fn is_known(name: &str) -> bool {
    NAMES.contains(&name)
}

/// Reads a section that has ended.
pub(crate) fn read(
    words: &[Word],
    header: Span,
    body: &Body,
    kickstart: &mut Kickstart,
    log: &mut Log,
) {
    match words[0].text.as_str() {
        "%packages" => packages(header, body, log),
        "%anaconda" => {
            let message = "`%anaconda` has no effect: its settings are those of Anaconda's desktop";
            log.warning(header, message, "leave it away");
        }
        "%certificate" => kickstart.certificates.extend(certificate(words, header, body, log)),
        "%pre" => kickstart.scripts.extend(script(ScriptKind::Pre, words, header, body, log)),
        "%pre-install" => {
            kickstart.scripts.extend(script(ScriptKind::PreInstall, words, header, body, log));
        }
        "%post" => kickstart.scripts.extend(script(ScriptKind::Post, words, header, body, log)),
        "%onerror" => {
            kickstart.scripts.extend(script(ScriptKind::OnError, words, header, body, log));
        }
        "%traceback" => {
            let message = "`%traceback` runs when the installation fails, as `%onerror` does";
            log.warning(header, message, "write `%onerror`: Anaconda removes `%traceback`");
            kickstart.scripts.extend(script(ScriptKind::OnError, words, header, body, log));
        }
        _ => (),
    }
}

/// A script; none where there is nothing to run, as in Anaconda.
fn script(
    kind: ScriptKind,
    words: &[Word],
    header: Span,
    body: &Body,
    log: &mut Log,
) -> Option<At<Script>> {
    let syntax = if kind == ScriptKind::Post { &POST } else { &ANY_SCRIPT };
    let args = option::read(words.to_vec(), syntax, log)?;
    let interpreter = interpreter(&args, log);
    let text = text(body);
    if text.trim().is_empty() {
        return None;
    }
    let value = Script {
        kind,
        interpreter,
        chroot: kind == ScriptKind::Post && !args.has("--nochroot"),
        error_on_fail: args.has("--erroronfail"),
        log: args.text("--log"),
        body: Secret::new(&text),
    };
    Some(At { value, span: header })
}

fn interpreter(args: &Args, log: &mut Log) -> String {
    let Some(word) = args.value("--interpreter") else { return "/bin/sh".to_owned() };
    if !word.text.starts_with('/') {
        log.error(word.span, "`--interpreter` takes a whole path", "as `/bin/bash`");
    }
    word.text.clone()
}

fn certificate(
    words: &[Word],
    header: Span,
    body: &Body,
    log: &mut Log,
) -> Option<At<Certificate>> {
    let args = option::read(words.to_vec(), &CERTIFICATE, log)?;
    let (dir, kind) = (args.value("--dir"), args.value("--type"));
    if dir.is_none() && kind.is_none() {
        log.error(
            header,
            "`%certificate` needs `--dir=` or `--type=`",
            "`--type=anchor` trusts it",
        );
    }
    if let Some(kind) = kind.filter(|kind| kind.text != "anchor") {
        log.error(kind.span, "there is no such type", "`--type=anchor`");
    }
    if let Some(dir) = dir.filter(|dir| !dir.text.starts_with("/etc/")) {
        log.error(dir.span, "a host can be written to in /etc alone", "as `/etc/ssl/private`");
    }
    let name = args.value("--filename");
    if let Some(name) = name.filter(|it| it.text.is_empty() || it.text.contains('/')) {
        log.error(name.span, "this is no name of a file", "the folder stands in `--dir=`");
    }
    let pem = text(body);
    if !pem.contains("-----BEGIN CERTIFICATE-----") || !pem.contains("-----END CERTIFICATE-----") {
        log.error(header, "there is no certificate in it", "PEM stands here, up to `%end`");
    }
    let value = Certificate {
        filename: name?.text.clone(),
        dir: dir.map(|dir| dir.text.clone()),
        anchor: kind.is_some(),
        pem,
    };
    Some(At { value, span: header })
}

/// Each package would be missing from the host.
fn packages(header: Span, body: &Body, log: &mut Log) {
    let lines = body.lines.iter().filter(|line| !line.is_blank_or_comment());
    let count = lines.clone().count();
    let Some(first) = lines.map(|line| line.span()).next() else {
        let message = "`%packages` has no effect: the system is one image";
        return log.warning(header, message, "leave it away");
    };
    let missing = match count {
        1 => "1 package or group".to_owned(),
        _ => format!("{count} packages or groups"),
    };
    let message = format!(
        "`%packages` cannot be carried out: the system is one image, and {missing} would be missing"
    );
    let hint = "add what you need to the image's definition and build it: `basalt build`; then \
                leave `%packages` away";
    log.error(first, message, hint);
}

fn text(body: &Body) -> String {
    body.lines.iter().flat_map(|line| [line.text(), "\n"]).collect()
}
