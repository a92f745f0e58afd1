//! Sections, what is included, and the language itself.

use super::{check, good, read, said, with_files};
use crate::model::{Authority, Join, ScriptKind};

#[test]
fn scripts_are_kept_as_they_stand() {
    let ks = good(
        "%pre\n# a comment\n  %notours 'x\n\n%end\n\
         %post --nochroot --interpreter=/bin/bash --log /tmp/x --erroronfail # why\nb\r\n  %end\n\
         %post\n   \n%end\n%pre-install\nc\n%end\n%onerror\nd\n%end",
    );
    let kinds: Vec<_> = ks.scripts.iter().map(|script| script.kind).collect();
    assert_eq!(
        kinds,
        [ScriptKind::Pre, ScriptKind::Post, ScriptKind::PreInstall, ScriptKind::OnError]
    );
    assert_eq!(ks.scripts[0].body.reveal(), "# a comment\n  %notours 'x\n\n");
    let post = &ks.scripts[1];
    assert_eq!(
        (post.interpreter.as_str(), post.chroot, post.error_on_fail),
        ("/bin/bash", false, true)
    );
    assert_eq!((post.log.as_deref(), post.body.reveal()), (Some("/tmp/x"), "b\n"));
}

#[test]
fn a_section_that_does_not_end_is_told() {
    check("%post\nx", &["1:1: `%post` does not end"]);
    check("%post\nx\n%pre\ny\n%end", &["1:1: `%post` does not end"]);
    check("%end", &["1:1: `%end` without a section"]);
    check("%pots\nx\n%end", &["1:1: unknown section `%pots`"]);
    check(
        "%traceback\nx\n%end",
        &["W 1:1: `%traceback` runs when the installation fails, as `%onerror` does"],
    );
    check("%pre --nochroot\nx\n%end", &["1:6: unknown option `--nochroot`"]);
}

#[test]
fn packages_are_told_and_where_they_stand() {
    check(
        "%packages\n# none\n\n@core\nvim\n%end",
        &[
            "4:1: `%packages` cannot be carried out: the system is one image, and 2 packages or groups \
         would be missing",
        ],
    );
    check(
        "%packages\n@core\n%end",
        &[
            "2:1: `%packages` cannot be carried out: the system is one image, and 1 package or group \
         would be missing",
        ],
    );
    check(
        "%packages\n# none\n%end",
        &["W 1:1: `%packages` has no effect: the system is one image"],
    );
    check(
        "%anaconda\npwpolicy root\n%end",
        &["W 1:1: `%anaconda` has no effect: its settings are those of Anaconda's desktop"],
    );
}

#[test]
fn an_included_file_stands_where_it_is_included() {
    let parsed = with_files(
        "%include /b\nlang a\n%post\none\n%include /c#d\nthree\n%end",
        &[("/b", "autopart --noswap\n\n  langg x"), ("/c#d", "two\n")],
    );
    assert_eq!(said(&parsed), ["3:3: unknown command `langg`"]);
    assert_eq!(parsed.sources.name(parsed.diagnostics[0].span.file), "/b");
    assert_eq!(parsed.kickstart.scripts[0].body.reveal(), "one\ntwo\nthree\n");
}

#[test]
fn what_cannot_be_included_is_told() {
    assert_eq!(said(&read("%include /b")), ["1:10: `/b` cannot be read: no `/b` here"]);
    assert_eq!(
        said(&read("%include")),
        ["1:1: `%include` needs a file", "1:1: nothing says where the system goes"]
    );
    let parsed = read("%pre\necho autopart > /tmp/x\n%end\n%include /tmp/x");
    assert_eq!(said(&parsed), ["W 4:10: `/tmp/x` cannot be read: no `/tmp/x` here"]);
    assert!(parsed.is_good());
    let parsed = with_files("%include /b", &[("/b", "%post\nx\n")]);
    assert_eq!(said(&parsed), ["1:1: `%post` does not end"]);
    let parsed = with_files("%post\n%include /b\n%end\nautopart --noswap", &[("/b", "x\n%end\n")]);
    assert_eq!(said(&parsed), ["2:1: a section ends in the file that it begins in"]);
}

#[test]
fn what_a_pre_may_write_is_no_error_wherever_the_pre_stands() {
    let pre = "%pre\necho autopart > /tmp/x\n%end\n";
    for text in [format!("%include /tmp/x\nlang C\n{pre}"), format!("{pre}\n%include /tmp/x")] {
        let parsed = read(&text);
        assert!(parsed.is_good(), "{text}: {:?}", parsed.diagnostics);
        let [said] = &parsed.diagnostics[..] else { panic!("{:?}", parsed.diagnostics) };
        assert_eq!(said.message, "`/tmp/x` cannot be read: no `/tmp/x` here");
        assert!(said.hint.starts_with("written by a `%pre`?"), "{}", said.hint);
        let unread: Vec<_> = parsed.kickstart.unread.iter().map(|it| it.value.as_str()).collect();
        assert_eq!(unread, ["/tmp/x"]);
    }
    // In an included file, too; a script of another time writes nothing in time.
    let included = |text: &str, name: &str, what: &str| {
        let resolve = &mut |include: &crate::Include<'_>| match include.what == name {
            true => Ok(crate::Included { name: name.to_owned(), text: what.to_owned() }),
            false => Err(crate::NotRead::Missing("gone".to_owned())),
        };
        crate::parse("a.ks", text, resolve).is_good()
    };
    assert!(included("%include /tmp/x\n%include /pre", "/pre", pre));
    assert!(!included("%include /tmp/x\n%include /pre", "/pre", &pre.replace("%pre", "%post")));
}

#[test]
fn a_byte_order_mark_is_no_letter_and_moves_no_place() {
    let parsed = read("\u{feff}langg C\nautopart --noswap");
    assert_eq!(said(&parsed), ["1:1: unknown command `langg`"]);
    let parsed = with_files("%include /b", &[("/b", "\u{feff}autopart --x --noswap")]);
    assert_eq!(said(&parsed), ["1:10: unknown option `--x`"]);
    good("\u{feff}text");
    // Elsewhere it is a letter.
    assert!(!read("text\n\u{feff}autopart --noswap").is_good());
}

#[test]
fn what_is_wrong_in_a_section_is_told_at_its_very_line() {
    check(
        "%addon basalt\n# a comment\n\nlabel = a=1\n  endpoint = http://a\n%end",
        &["5:14: this is no URL of an endpoint", "5:14: nothing says how the endpoint is known"],
    );
    check(
        "%addon basalt\n\nca = /a\ntoken-file = /b\n%end",
        &["3:1: nothing says where the endpoint is"],
    );
    check(
        "%post --log=/x \\\n%end",
        &["1:16: a line is not continued by a backslash", "2:1: `%end` without a section"],
    );
    check("%pre --interpreter=sh\nx\n%end", &["1:20: `--interpreter` takes a whole path"]);
}

#[test]
fn what_is_not_read_now_is_a_warning() {
    let parsed = with_files("%include http://a/b", &[]);
    assert_eq!(said(&parsed), ["W 1:10: `http://a/b` is not read: it is not there"]);
    assert!(parsed.is_good());
}

#[test]
fn what_includes_itself_ends() {
    let parsed = with_files("%include /b", &[("/b", "%include /b\n%include /b")]);
    assert!(parsed.diagnostics[0].message.starts_with("more than 16 files in each other"));
    assert!(parsed.sources.count() <= 256);
}

#[test]
fn however_much_is_wrong_it_is_told_in_no_time() {
    let most = 1 << 20;
    for line in ["x\n", "%post\n", "user --name=a\n", "raid /var --device=a a b\n", "a=b "] {
        let text = line.repeat(most / line.len());
        let parsed = read(&text);
        assert!(!parsed.is_good() && parsed.diagnostics.len() <= 257, "{line}");
    }
    let members: String = (0..2000).map(|number| format!(" m{number}")).collect();
    let raid = format!("raid /var --device=a --level=1{members}\n");
    let parsed = read(&raid.repeat(most / raid.len()));
    assert!(!parsed.is_good());
    check(&format!("lang {}", "a".repeat(20_000)), &["1:1: the line is too long"]);
}

#[test]
fn an_appended_file_may_begin_what_another_ends() {
    let parsed = with_files(
        "autopart --noswap\n%ksappend http://a/b\ntwo\n%end\n%ksappend /c",
        &[("http://a/b", "%post\none\n"), ("/c", "lang a\n%ksappend /c")],
    );
    assert_eq!(said(&parsed), ["2:1: `%ksappend` in a file that was appended does nothing"]);
    assert_eq!(parsed.kickstart.scripts[0].body.reveal(), "one\ntwo\n");
}

#[test]
fn what_is_no_line_is_told() {
    check("lang \"a", &["1:6: the quotation does not end"]);
    check(
        "lang a \\\n  --x",
        &["1:8: a line is not continued by a backslash", "2:3: unknown command `--x`"],
    );
    check("lang a\u{b}b", &["1:7: a control character"]);
    check("'' a", &["1:1: a command has a name"]);
}

#[test]
fn the_hosts_enrolment_is_read() {
    let pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----";
    let ks = good(&format!(
        "%addon basalt\nendpoint = https://a:8443, https://b # both\n  endpoint=https://[::1]:1\n\
         {pem}\ntoken-file = '/run/a b'\nlabel = rack=4, room=b\nlabels = canary=true\n%end"
    ));
    let basalt = ks.basalt.unwrap().value;
    assert_eq!(basalt.endpoints, ["https://a:8443", "https://b", "https://[::1]:1"]);
    assert_eq!(basalt.ca.as_deref(), Some(&Authority::Pem(format!("{pem}\n"))));
    assert_eq!(basalt.join.as_deref(), Some(&Join::TokenFile("/run/a b".to_owned())));
    assert_eq!(basalt.labels.len(), 3);
    let hex = "AB:".repeat(31) + "AB";
    let ks = good(&format!("%addon basalt\nca-sha256={hex}\nendpoint=https://a\n%end"));
    let ca = ks.basalt.unwrap().value.ca;
    assert_eq!(ca.as_deref(), Some(&Authority::Sha256("ab".repeat(32))));
    good("%addon basalt\njoin-file = /run/join\n%end");
}

#[test]
fn an_enrolment_that_cannot_be_is_told() {
    let check = |body: &str, expected: &[&str]| {
        check(&format!("%addon basalt\n{body}\n%end"), expected);
    };
    check("endpoint = http://a\nca = /a", &["2:12: this is no URL of an endpoint"]);
    check("endpoint = https://u:p@a\nca = /a", &["2:12: this is no URL of an endpoint"]);
    check("\nendpoint = https://a", &["3:12: nothing says how the endpoint is known"]);
    check("\ntoken-file = /a\nca = /b", &["3:1: nothing says where the endpoint is"]);
    check("ca-sha256 = abc", &["2:13: this is no SHA-256 of a certificate"]);
    check("endpont = https://a", &["2:1: unknown key `endpont`"]);
    check("what is this", &["2:1: this is no line of an addon"]);
    check("label = rack", &["2:9: this is no label"]);
    check("label = a=1, a=2", &["2:14: the label `a` is said twice"]);
    check("join-file = a", &["2:13: this is no whole path"]);
    check("join-file = /a\njoin-file = /b", &["3:1: the token is said twice"]);
    check(
        "token = hunter2",
        &[
            "2:1: nothing says where the endpoint is",
            "2:9: a join string begins with `basalt1.`, a secret alone with `basalt1-secret.`",
        ],
    );
    check("-----BEGIN CERTIFICATE-----", &["2:1: the certificate does not end"]);
}

#[test]
fn other_addons_are_told() {
    check(
        "%addon com_redhat_kdump --disable\n%end",
        &["W 1:1: this addon has no effect: a panic is kept in the firmware's storage"],
    );
    check("%addon basaltt\n%end", &["1:8: there is no addon `basaltt` here"]);
    check("%addon\n%end", &["1:1: `%addon` needs a name"]);
    check(
        "%addon basalt\n%end\n%addon basalt\n%end",
        &["3:1: `%addon basalt` stands here for the second time"],
    );
}

#[test]
fn certificates_are_read() {
    let pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let ks =
        good(&format!("%certificate --filename=a.pem --dir=/etc/ssl/x --type=anchor\n{pem}%end"));
    assert_eq!((ks.certificates[0].pem.as_str(), ks.certificates[0].anchor), (pem, true));
    check(
        "%certificate --filename=a\nx\n%end",
        &["1:1: `%certificate` needs `--dir=` or `--type=`", "1:1: there is no certificate in it"],
    );
}
