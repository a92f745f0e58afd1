//! A kickstart before its `%pre` scripts ran. They may write what it includes, so that something may
//! be missing from it; what is wrong in the rest stays wrong, and is told before any of them runs.
//! Pure, but for what it asks of the resolver.

use std::collections::BTreeSet;

use basalt_document::Mistake;
use basalt_kickstart::model::{Script, Use};
use basalt_kickstart::{Kickstart, NotRead, Parsed, Resolve, Severity, Span, parse};

use crate::source::is_url;

/// A kickstart without what is still to be written.
pub(crate) struct Early {
    pub(crate) parsed: Parsed,
    /// Whether anything is.
    waits: bool,
}

/// Reads a kickstart, by its name and text, without the files that are not there, and without those
/// that one of these scripts names: what is there now may be of a run before.
pub(crate) fn read(
    (name, text): (&str, &str),
    scripts: &[&Script],
    resolve: &mut Resolve<'_>,
) -> Early {
    let is_named = |what: &str| {
        !is_url(what) && scripts.iter().any(|script| script.body.reveal().contains(what))
    };
    let mut waits = false;
    let parsed = parse(name, text, &mut |include| {
        let found = match is_named(include.what) {
            true => Err(NotRead::Missing("a `%pre` script names it".to_owned())),
            false => resolve(include),
        };
        let Err(NotRead::Missing(why)) = found else { return found };
        waits = true;
        Err(NotRead::Later(why))
    });
    Early { parsed, waits }
}

impl Early {
    /// What is wrong in it, whatever is still to be written.
    pub(crate) fn mistakes(&self) -> Vec<Mistake> {
        let Parsed { kickstart, diagnostics, sources } = &self.parsed;
        let open = if self.waits { open_ends(kickstart) } else { BTreeSet::new() };
        let errors = diagnostics.iter().filter(|it| it.severity == Severity::Error);
        let sure = errors.filter(|it| !open.contains(&it.span));
        sure.map(|it| it.mistake(sources)).collect()
    }
}

/// Commands that want another one, which is not here: a key its user, an array its members, and a
/// member its array.
fn open_ends(kickstart: &Kickstart) -> BTreeSet<Span> {
    let users: BTreeSet<&str> = kickstart.user.iter().map(|it| it.name.as_str()).collect();
    let keys = kickstart.sshkey.iter();
    let keys = keys.filter(|it| !users.contains(it.username.as_str())).map(|it| it.span);
    let members = kickstart.part.iter().filter_map(|part| match &part.usage {
        Use::RaidMember(name) => Some((name, part.span)),
        _ => None,
    });
    let members: Vec<(&String, Span)> = members.collect();
    let raids = kickstart.raid.iter().filter(|raid| {
        raid.members.iter().any(|name| members.iter().all(|(member, _)| *member != name))
    });
    let is_used = |name: &String| kickstart.raid.iter().any(|raid| raid.members.contains(name));
    let unused = members.iter().filter(|(name, _)| !is_used(name)).map(|(_, span)| *span);
    keys.chain(raids.map(|it| it.span)).chain(unused).collect()
}

#[cfg(test)]
mod tests {
    use basalt_kickstart::{Include, Included};

    use super::*;

    const PRE: &str = "%pre\necho 'part /' > /tmp/parts.ks\n%end\n";

    /// What is told of a kickstart before its scripts run, where only `/tmp/there.ks` is there.
    fn check(text: &str, expected: &[&str]) {
        let mut resolve = |include: &Include<'_>| match include.what {
            name @ ("/tmp/there.ks" | "/tmp/parts.ks") => {
                Ok(Included { name: name.to_owned(), text: "zeromb\n".to_owned() })
            }
            "http://x/a.ks" => Err(NotRead::Broken("404".to_owned())),
            _ => Err(NotRead::Missing("no such file".to_owned())),
        };
        let whole = parse("x.ks", text, &mut resolve);
        let scripts: Vec<&Script> = whole.kickstart.scripts.iter().map(|it| &it.value).collect();
        let early = read(("x.ks", text), &scripts, &mut resolve);
        let said: Vec<String> = early.mistakes().iter().map(ToString::to_string).collect();
        assert_eq!(said.len(), expected.len(), "{said:?}");
        for (said, expected) in said.iter().zip(expected) {
            assert!(said.contains(expected), "no `{expected}` in {said}");
        }
    }

    #[test]
    fn what_no_script_can_mend_is_told_before_one_runs() {
        check(&format!("autopart\nzeromb\n{PRE}"), &["unknown command `zeromb`"]);
        check(&format!("%include /tmp/parts.ks\nzeromb\n{PRE}"), &["unknown command `zeromb`"]);
        check(&format!("%include /tmp/there.ks\n{PRE}"), &["unknown command `zeromb`"]);
        check(&format!("%include http://x/a.ks\n{PRE}"), &["`http://x/a.ks` cannot be read: 404"]);
        // Nothing waits, and so nothing is left open.
        let open = "autopart\nsshkey --username=me \"ssh-ed25519 AAAA\"\n";
        check(&format!("{open}{PRE}"), &["there is no user `me`"]);
        check(PRE, &["nothing says where the system goes"]);
    }

    #[test]
    fn what_a_script_may_still_write_is_waited_for() {
        // One that it names may be of a run before; the other is not there yet.
        for file in ["/tmp/parts.ks", "/tmp/by-a-variable.ks"] {
            check(&format!("%include {file}\n{PRE}"), &[]);
            let open = "sshkey --username=me \"ssh-ed25519 AAAA\"\npart raid.01 --size=2000\n\
                        raid /var --device=v --level=1 raid.02 raid.03\n";
            check(&format!("%include {file}\n{open}{PRE}"), &[]);
        }
    }
}
