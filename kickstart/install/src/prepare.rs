//! All that comes before the first write: the kickstart, its `%pre` scripts, the plan, the disks.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use basalt_document::{DocumentError, Mistake};
use basalt_kickstart::model::ScriptKind;
use basalt_kickstart::{Include, Included, NotRead, Parsed, Resolve, Severity, parse};
use basalt_kickstart_file::{errors, warnings};

use crate::ask::{self, Answer, Terminal};
use crate::before_pre;
use crate::consoles;
use crate::edge::Machine;
use crate::execute::{self, Held};
use crate::facts::Facts;
use crate::facts::look::look;
use crate::image;
use crate::log::Log;
use crate::plan::{self, Ground, Plan, plan};
use crate::problems::Problems;
use crate::reporter::Reporter;
use crate::run::Options;
use crate::scripts;
use crate::source::{self, Found};

/// Where syslog is listened for.
const SYSLOG_PORT: u16 = 514;
/// For whoever names devices to be done with what a script changed.
const SETTLED: Duration = Duration::from_secs(60);

/// A kickstart in which nothing is known to be wrong, and how far it is.
pub(crate) struct Begun {
    found: Found,
    facts: Facts,
    /// As it was when it was last good.
    pub(crate) parsed: Parsed,
    /// Whether scripts of `%pre` ran.
    pub(crate) ran_pre: bool,
}

/// Finds and reads the kickstart. No script runs before all of it is good that no script can mend.
///
/// # Errors
/// There is none, it cannot be read, or something is wrong in it.
pub(crate) fn begin(options: &Options, log: &mut Log) -> Result<Begun> {
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
    let mut fetched = Fetched::default();
    let mut parsed = parse(&found.name, &found.text, &mut |it| included(it, &mut fetched, log));
    match !options.dry_run && has_pre(&parsed) {
        true => {
            let mut resolve = |include: &Include<'_>| included(include, &mut fetched, log);
            parsed = read_before_pre(&found, &parsed, &mut resolve)?;
        }
        false => check(&parsed, log)?,
    }
    Ok(Begun { found, facts, parsed, ran_pre: false })
}

/// What is carried out, and the disks, which are nobody else's from now on; none where nothing is to
/// be carried out.
///
/// # Errors
/// Something speaks against it, or a script that says that its failure ends all failed.
pub(crate) fn ready(
    begun: &mut Begun,
    options: &Options,
    log: &mut Log,
) -> Result<(Plan, Option<Held>)> {
    if !options.dry_run && has_pre(&begun.parsed) {
        begun.run_pre(log)?;
    }
    also_to_a_server(&begun.parsed, log);
    let plan = planned(options, begun, log)?;
    if options.dry_run {
        return Ok((plan, None));
    }
    also_to_the_endpoint(&plan, log);
    let held = execute::hold(&plan)?;
    if options.ask {
        confirm(&plan)?;
    }
    Ok((plan, Some(held)))
}

impl Begun {
    /// Runs the scripts of `%pre`. They may have written what is included, and to disks, so that both
    /// are looked at again.
    fn run_pre(&mut self, log: &mut Log) -> Result<()> {
        self.ran_pre = true;
        scripts::run(&self.parsed, ScriptKind::Pre, log)?;
        let (Found { name, text, .. }, mut fetched) = (&self.found, Fetched::default());
        let parsed = parse(name, text, &mut |include| included(include, &mut fetched, log));
        check(&parsed, log)?;
        self.parsed = parsed;
        // Where nobody names devices, they have the kernel's names all the same.
        let _ = execute::tool("udevadm").args(["settle", "--timeout=60"]).deadline(SETTLED).run();
        self.facts = look()?;
        Ok(())
    }
}

fn has_pre(parsed: &Parsed) -> bool {
    scripts::of(parsed, ScriptKind::Pre).next().is_some()
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

/// What came of web servers, by its URL: one that is away is asked for minutes, and not twice.
type Fetched = BTreeMap<String, Result<Included, NotRead>>;

fn included(
    include: &Include<'_>,
    fetched: &mut Fetched,
    log: &mut Log,
) -> Result<Included, NotRead> {
    if !source::is_url(include.what) {
        return source::included(include, log);
    }
    let found = fetched.entry(include.what.to_owned());
    found.or_insert_with(|| source::included(include, log)).clone()
}

/// Says its warnings, or all that is wrong in it.
fn check(parsed: &Parsed, log: &mut Log) -> Result<()> {
    for warning in warnings(parsed) {
        log.say(&format!("warning: {warning}"));
    }
    Ok(errors(parsed)?)
}

/// The kickstart without what its `%pre` scripts may write; or all that is wrong in the rest, and
/// each script that nothing here can run. Its warnings are said when all of it is there.
fn read_before_pre(found: &Found, whole: &Parsed, resolve: &mut Resolve<'_>) -> Result<Parsed> {
    let scripts: Vec<_> = scripts::of(whole, ScriptKind::Pre).collect();
    let early = before_pre::read((&found.name, &found.text), &scripts, resolve);
    let mut problems = Problems::default();
    plan::check_scripts_here(&early.parsed.kickstart, &Machine, &mut problems);
    let mut mistakes = early.mistakes();
    mistakes.extend(problems.mistakes(Severity::Error, &early.parsed.sources));
    told(mistakes)?;
    Ok(early.parsed)
}

fn told(mistakes: Vec<Mistake>) -> Result<(), DocumentError> {
    if mistakes.is_empty() { Ok(()) } else { Err(DocumentError { mistakes }) }
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
fn planned(options: &Options, begun: &Begun, log: &mut Log) -> Result<Plan> {
    let Begun { parsed, facts, .. } = begun;
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
    for warning in problems.mistakes(Severity::Warning, &parsed.sources) {
        log.say(&format!("warning: {warning}"));
    }
    told(problems.mistakes(Severity::Error, &parsed.sources))?;
    plan.context("the kickstart does not say where the system goes")
}
