//! Asks whoever sits at a terminal the few things that matter, and makes a kickstart of the answers:
//! what is installed so goes the same way as everything else.

use std::io::{BufRead, Write};

use anyhow::{Context, Result, bail};
use basalt_host_toml::{is_hostname, is_key};

use crate::facts::{DiskFact, Facts};

/// A terminal.
pub(crate) struct Terminal<'a> {
    /// What is typed.
    pub(crate) input: &'a mut dyn BufRead,
    /// What is seen.
    pub(crate) output: &'a mut dyn Write,
}

/// What somebody wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// To install, as this kickstart says.
    Install(String),
    /// To be told again which disks there are.
    LookAgain,
    /// To look around first.
    Shell,
}

/// What is chosen in the list of disks.
enum Choice {
    Disk(String),
    Other(Answer),
}

/// What somebody wants, and the kickstart that the answers make.
///
/// # Errors
/// Nobody answers.
pub(crate) fn ask(facts: &Facts, terminal: &mut Terminal<'_>) -> Result<Answer> {
    let disk = match disk(facts, terminal)? {
        Choice::Disk(disk) => disk,
        Choice::Other(answer) => return Ok(answer),
    };
    let hostname = "name of the host (empty: none yet)";
    let hostname = terminal.until_good(hostname, |text| match is_hostname(text) {
        true => Ok(()),
        false => Err("labels of letters, digits and dashes with dots between, at most 64"),
    })?;
    let key = "public key of ssh that may log in as root (empty: nobody)";
    let key = terminal.until_good(key, |text| match is_key(text) && !text.contains('"') {
        true => Ok(()),
        false => Err("it is one line of a `.pub` file, as `ssh-ed25519 AAAA… name`"),
    })?;
    let mut text = format!(
        "zerombr\nignoredisk --only-use={disk}\nclearpart --all --initlabel\nautopart --noswap\n\
         timezone Etc/UTC --utc\nreboot\n"
    );
    if !hostname.is_empty() {
        text.push_str(&format!("network --hostname={hostname}\n"));
    }
    if !key.is_empty() {
        text.push_str(&format!("sshkey --username=root \"{key}\"\n"));
    }
    Ok(Answer::Install(text))
}

/// Whether all on these disks may go: who says so types the name of the first.
///
/// # Errors
/// Nobody answers.
pub(crate) fn may_go(disk: &str, terminal: &mut Terminal<'_>) -> Result<bool> {
    let typed = terminal.line(&format!("all on `{disk}` goes. Type its name to go on"))?;
    Ok(typed == disk)
}

fn disk(facts: &Facts, terminal: &mut Terminal<'_>) -> Result<Choice> {
    let disks: Vec<&DiskFact> = facts.disks.iter().filter(|fact| !fact.is_loop()).collect();
    terminal.say("disks of this machine:")?;
    for (number, fact) in (1..).zip(&disks) {
        let why = refused(fact).map(|why| format!(": {why}")).unwrap_or_default();
        terminal.say(&format!("  {number}) {}{why}", fact.disk))?;
    }
    if facts.disks.iter().all(|fact| refused(fact).is_some()) {
        terminal.say("there is no disk to install to")?;
    }
    loop {
        let typed = terminal.line("install to which one (empty: look again, `shell`: a shell)")?;
        match typed.as_str() {
            "" => return Ok(Choice::Other(Answer::LookAgain)),
            "shell" => return Ok(Choice::Other(Answer::Shell)),
            _ => (),
        }
        let by_number = typed.parse::<usize>().ok().and_then(|it| disks.get(it.checked_sub(1)?));
        let chosen = by_number.copied().or(facts.disks.iter().find(|it| it.disk.name == typed));
        match chosen.map(|fact| (fact, refused(fact))) {
            Some((fact, None)) => return Ok(Choice::Disk(fact.disk.name.clone())),
            Some((_, Some(why))) => terminal.say(&why)?,
            None => terminal.say("there is no such disk")?,
        }
    }
}

fn refused(fact: &DiskFact) -> Option<String> {
    match fact.disk.is_boot_medium {
        true => Some("the installer was started from it".to_owned()),
        false => fact.refused.as_ref()?.lines().next().map(str::to_owned),
    }
}

impl Terminal<'_> {
    fn say(&mut self, text: &str) -> Result<()> {
        writeln!(self.output, "{text}").context("nobody sees what is asked")
    }

    /// A line, without what is around it.
    fn line(&mut self, question: &str) -> Result<String> {
        write!(self.output, "{question}: ")?;
        self.output.flush()?;
        let mut line = String::new();
        if self.input.read_line(&mut line).context("cannot read the answer")? == 0 {
            bail!("nobody answers");
        }
        Ok(line.trim().to_owned())
    }

    /// A line that is good or empty.
    fn until_good(
        &mut self,
        question: &str,
        check: impl Fn(&str) -> Result<(), &'static str>,
    ) -> Result<String> {
        loop {
            let line = self.line(question)?;
            if line.is_empty() {
                return Ok(line);
            }
            match check(&line) {
                Ok(()) => return Ok(line),
                Err(hint) => self.say(&format!("hint: {hint}"))?,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use basalt_kickstart::disk::Disk;
    use basalt_kickstart::parse;

    use super::*;
    use crate::facts::Content;

    fn fact(name: &str, refused: Option<&str>) -> DiskFact {
        DiskFact {
            disk: Disk {
                name: name.to_owned(),
                links: Vec::new(),
                size: 500_000_000_000,
                bus: None,
                model: None,
                serial: None,
                is_boot_medium: false,
            },
            sector: 512,
            refused: refused.map(str::to_owned),
            content: Content::Nothing,
        }
    }

    /// What comes of these answers, and what was seen.
    fn answers(disks: Vec<DiskFact>, typed: &str) -> (Result<Answer>, String) {
        let facts = Facts { disks, ..Facts::default() };
        let mut seen = Vec::new();
        let mut terminal = Terminal { input: &mut typed.as_bytes(), output: &mut seen };
        let made = ask(&facts, &mut terminal);
        (made, String::from_utf8(seen).unwrap())
    }

    #[test]
    fn answers_become_a_kickstart_and_bad_ones_are_asked_for_again() {
        let disks = vec![fact("sda", Some("`sda1` is in use")), fact("sdb", None)];
        let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 ops";
        let typed = format!("7\n1\n2\nrack_4\nrack4-17\nno key\n{key}\n");
        let (made, seen) = answers(disks, &typed);
        let Ok(Answer::Install(made)) = made else { panic!("{made:?}") };
        assert!(
            seen.contains("1) sda, 500.0 GB: `sda1` is in use\n  2) sdb, 500.0 GB\n"),
            "{seen}"
        );
        assert!(seen.contains("there is no such disk") && seen.contains("hint: labels of letters"));
        let parsed = parse("x", &made, &mut |_| unreachable!("nothing is included"));
        assert!(parsed.is_good(), "{:?}", parsed.diagnostics);
        assert!(made.contains("--only-use=sdb\n") && made.contains("--hostname=rack4-17\n"));
        assert!(made.contains(&format!("sshkey --username=root \"{key}\"\n")));
    }

    #[test]
    fn without_a_disk_and_without_an_answer_nothing_is_made() {
        let (made, seen) = answers(vec![fact("sda", Some("in use"))], "1\n");
        assert_eq!(made.unwrap_err().to_string(), "nobody answers");
        assert!(seen.contains("there is no disk to install to"), "{seen}");
        let (made, _) = answers(vec![fact("sda", None)], "sda\n");
        assert_eq!(made.unwrap_err().to_string(), "nobody answers");
        let (made, _) = answers(vec![fact("sda", None)], "sda\n\n\n");
        let Ok(Answer::Install(made)) = made else { panic!("{made:?}") };
        assert!(!made.contains("sshkey"));
    }

    #[test]
    fn before_anything_is_chosen_somebody_may_look_again_or_around() {
        let of = |typed: &str| answers(vec![fact("sda", None)], typed).0.unwrap();
        assert_eq!(of("\n"), Answer::LookAgain);
        assert_eq!(of("7\nshell\n"), Answer::Shell);
    }

    #[test]
    fn nothing_but_its_name_lets_a_disk_go() {
        let may = |mut typed: &[u8]| {
            may_go("sda", &mut Terminal { input: &mut typed, output: &mut Vec::new() })
        };
        assert!(may(b"sda\n").unwrap());
        assert!(!may(b"yes\n").unwrap() && !may(b"\n").unwrap());
        assert!(may(b"").is_err());
    }
}
