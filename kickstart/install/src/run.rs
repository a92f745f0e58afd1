//! One run of the installer, from the kickstart to the end.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use basalt_api::install::InstallState;
use basalt_document::DocumentError;
use basalt_kickstart::model::{EndAction, Script, ScriptKind};
use basalt_kickstart::{Diagnostic, Parsed, Severity, parse};
use basalt_kickstart_file::{errors, warnings};

use crate::ask::{self, Answer, Terminal};
use crate::consoles;
use crate::edge::Machine;
use crate::execute::{self, Held};
use crate::facts::Facts;
use crate::facts::look::look;
use crate::image;
use crate::log::Log;
use crate::plan::{Ground, Plan, plan};
use crate::problems::Problems;
use crate::reporter::Reporter;
use crate::source::{self, Found, NoKickstart};

/// Where syslog is listened for.
const SYSLOG_PORT: u16 = 514;

/// What is asked for.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Options {
    /// When it began.
    pub(crate) now: SystemTime,
    pub(crate) kickstart: Option<String>,
    /// The repository.
    pub(crate) source: PathBuf,
    /// Which ref of it.
    pub(crate) branch: Option<String>,
    /// The folder of trusted keys.
    pub(crate) keys: PathBuf,
    pub(crate) dry_run: bool,
    /// Somebody at this terminal says what shall be done.
    pub(crate) ask: bool,
    /// The machine stays on.
    pub(crate) stay: bool,
    /// Where it does not go on, somebody at a console says how.
    pub(crate) consoles: bool,
}

/// How it ended; the log was told all of it.
pub(crate) enum Ended {
    /// Nothing was to be done but this.
    Planned(Box<Plan>),
    /// All of it is there.
    Installed,
    /// It is not.
    Failed,
    /// Nobody said yet what shall be done: it is asked at each console.
    Asking,
}

/// What is carried out next.
struct Ready {
    parsed: Parsed,
    plan: Plan,
    /// The disks; none where nothing is to be carried out.
    held: Option<Held>,
}

/// Runs it, and where it does not go on, asks at each console if it may.
pub(crate) fn run(options: &Options, log: &mut Log) -> Ended {
    let ended = run_once(options, log);
    if options.consoles && matches!(ended, Ended::Failed | Ended::Asking) {
        consoles::ask_at_each(log);
    }
    ended
}

fn run_once(options: &Options, log: &mut Log) -> Ended {
    let ready = match prepare(options, log) {
        Ok(Ready { plan, held: None, .. }) => return Ended::Planned(Box::new(plan)),
        Ok(Ready { parsed, plan, held: Some(held) }) => (parsed, plan, held),
        Err(error) if options.consoles && error.is::<NoKickstart>() => {
            log.say("there is no kickstart: what shall be done is asked at each console");
            return Ended::Asking;
        }
        Err(error) => {
            log.tell(InstallState::Failed, &format!("error: {}", basalt_explain::explain(&error)));
            log.end_with_endpoint();
            log.say("nothing was changed");
            return Ended::Failed;
        }
    };
    let (parsed, plan, held) = ready;
    match carry_out(&parsed, &plan, held, log) {
        Ok(()) => finish(&plan, options, log),
        Err(error) => {
            let said = format!("error: {}", basalt_explain::explain(&error));
            log.tell(InstallState::Failed, &said);
            log.end_with_endpoint();
            log.say("the installation is not whole, and its disk boots nowhere: begin it again");
            Ended::Failed
        }
    }
}

/// All that comes before the first write.
fn prepare(options: &Options, log: &mut Log) -> Result<Ready> {
    execute::leave_the_others()?;
    let (facts, found) = match options.ask {
        true => asked()?,
        false => {
            let facts = look()?;
            let found = source::find(options.kickstart.as_deref(), &facts, log)?;
            (facts, found)
        }
    };
    log.say(&format!("kickstart: {}", found.from));
    let mut parsed = read(&found, log);
    let has_pre = scripts(&parsed, ScriptKind::Pre).next().is_some();
    if has_pre && !options.dry_run {
        run_scripts(&parsed, ScriptKind::Pre, log)?;
        // It may have written what is included.
        parsed = read(&found, log);
    }
    for warning in warnings(&parsed) {
        log.say(&format!("warning: {warning}"));
    }
    errors(&parsed)?;
    also_to_a_server(&parsed, log);
    let plan = planned(options, &parsed, &facts, log)?;
    if !options.dry_run {
        also_to_the_endpoint(&plan, log);
    }
    let held = if options.dry_run { None } else { Some(execute::hold(&plan)?) };
    if options.ask && held.is_some() {
        confirm(&plan)?;
    }
    Ok(Ready { parsed, plan, held })
}

/// A kickstart of what is typed here, and the machine as it was then.
fn asked() -> Result<(Facts, Found)> {
    loop {
        let facts = look()?;
        let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
        match ask::ask(&facts, &mut Terminal { input: &mut input, output: &mut output })? {
            Answer::Install(text) => {
                let (name, from) = ("what was typed".to_owned(), "what was typed here".to_owned());
                return Ok((facts, Found { name, text, from }));
            }
            Answer::LookAgain => (),
            Answer::Shell => consoles::shell()?,
        }
    }
}

fn confirm(plan: &Plan) -> Result<()> {
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    writeln!(output, "{plan}").context("nobody sees what is asked")?;
    let disk = plan.disks.first().map_or("", |disk| &disk.name);
    match ask::may_go(disk, &mut Terminal { input: &mut input, output: &mut output })? {
        true => Ok(()),
        false => bail!("it was not confirmed"),
    }
}

fn read(found: &Found, log: &mut Log) -> Parsed {
    parse(&found.name, &found.text, &mut |include| source::included(include, log))
}

/// Where the host will enrol, operators see how far it is.
fn also_to_the_endpoint(plan: &Plan, log: &mut Log) {
    let Some(join) = plan.settings.join() else { return };
    let reporter = Reporter::start(join, plan.machine.clone());
    match reporter {
        Ok(reporter) => log.also_to_endpoint(reporter),
        Err(error) => log.say(&format!("warning: the endpoint is told nothing: {error:#}")),
    }
}

fn also_to_a_server(parsed: &Parsed, log: &mut Log) {
    let Some(logging) = &parsed.kickstart.logging else { return };
    let Some(host) = &logging.host else { return };
    if let Err(error) = log.also_to(host, logging.port.unwrap_or(SYSLOG_PORT)) {
        log.say(&format!("warning: the log does not go to `{host}`: {error}"));
    }
}

/// The plan, once its warnings were said; or all that speaks against it.
fn planned(options: &Options, parsed: &Parsed, facts: &Facts, log: &mut Log) -> Result<Plan> {
    let setup = parsed.kickstart.ostreesetup.as_ref().filter(|setup| setup.is_elsewhere());
    let (about, commit) = match setup {
        Some(setup) => image::bring(setup, &options.source, &options.keys, options.now, log)?,
        None => image::open(&options.source, options.branch.as_deref(), &options.keys)?,
    };
    let mut problems = Problems::default();
    let mut ground = Ground {
        asked: &parsed.kickstart,
        image: &commit,
        about: &about,
        facts,
        edge: &mut Machine,
    };
    let plan = plan(&mut ground, &mut problems)?;
    let of = |severity| {
        let said = problems.0.iter().filter(move |it: &&Diagnostic| it.severity == severity);
        said.map(|it| it.mistake(&parsed.sources))
    };
    for warning in of(Severity::Warning) {
        log.say(&format!("warning: {warning}"));
    }
    let mistakes: Vec<_> = of(Severity::Error).collect();
    match plan {
        Some(plan) => Ok(plan),
        None if mistakes.is_empty() => bail!("the kickstart does not say where the system goes"),
        None => Err(DocumentError { mistakes }.into()),
    }
}

fn carry_out(parsed: &Parsed, plan: &Plan, held: Held, log: &mut Log) -> Result<()> {
    log.say(&plan.to_string());
    let done = run_scripts(parsed, ScriptKind::PreInstall, log)
        .and_then(|()| execute::carry_out(plan, held, log));
    if done.is_err() {
        // The first error is the one to tell.
        let _ = run_scripts(parsed, ScriptKind::OnError, log);
    }
    done
}

fn finish(plan: &Plan, options: &Options, log: &mut Log) -> Ended {
    log.tell(InstallState::Installed, &format!("{} is installed", plan.image.title));
    log.end_with_endpoint();
    let Some(end) = plan.end.filter(|_| !options.stay) else {
        log.say(
            "this machine stays on: take the medium away, and `reboot` starts what was installed",
        );
        return Ended::Installed;
    };
    if let Err(error) = end_the_machine(end.action) {
        log.say(&format!("warning: {}", basalt_explain::explain(&error)));
    }
    Ended::Installed
}

fn end_the_machine(action: EndAction) -> Result<()> {
    let verb = match action {
        EndAction::Reboot => "reboot",
        EndAction::PowerOff => "poweroff",
        EndAction::Halt => "halt",
    };
    let systemctl = execute::tool("systemctl").args(["--no-block", verb]);
    systemctl.run().map(drop).with_context(|| format!("cannot {verb} the machine"))
}

fn scripts(parsed: &Parsed, kind: ScriptKind) -> impl Iterator<Item = &Script> {
    parsed.kickstart.scripts.iter().map(|it| &it.value).filter(move |it| it.kind == kind)
}

fn run_scripts(parsed: &Parsed, kind: ScriptKind, log: &mut Log) -> Result<()> {
    for script in scripts(parsed, kind) {
        log.say("running a script of the kickstart");
        execute::run_script(script, log)?;
    }
    Ok(())
}
