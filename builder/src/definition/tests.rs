//! Mistakes in definitions, as people see them.

use std::fs;
use std::path::Path;

use super::Definition;

/// A definition without mistakes; tests change one line of it.
const GOOD: &str = r#"name = "base"
ref = "basalt/trixie/x86_64/base"
formats = ["raw"]
packages = ["bash", "systemd"]
[debian]
suite = "trixie"
components = ["main"]
mirror = "http://deb.debian.org/debian"
keyring = "keyring.gpg"
[kernel]
arguments = ["panic=10"]
[units]
enable = ["hostd.service"]
[[user]]
name = "one"
uid = 990
[[group]]
name = "kvm"
gid = 106
[overlay]
root = ["files"]
[disk]
size = "12GiB"
esp = "1GiB"
root = "4GiB"
var_min = "1GiB"
"#;

fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("files")).unwrap();
    fs::write(dir.path().join("keyring.gpg"), "").unwrap();
    fs::write(dir.path().join("base.toml"), GOOD).unwrap();
    dir
}

fn load(dir: &Path, text: &str) -> Result<Definition, String> {
    let path = dir.join("test.toml");
    fs::write(&path, text).unwrap();
    let shown = format!("{}/", dir.display());
    Definition::load(&path).map_err(|error| error.to_string().replace(&shown, ""))
}

/// A definition without mistakes, for tests of what uses one. Its folders are gone.
pub(crate) fn example() -> Definition {
    load(folder().path(), GOOD).unwrap()
}

/// Replaces `from` in the good definition and expects `expected` in the error.
fn check(from: &str, to: &str, expected: &str) {
    assert!(GOOD.contains(from), "`{from}` is not in the definition");
    let error = load(folder().path(), &GOOD.replacen(from, to, 1)).unwrap_err();
    assert!(error.contains(expected), "expected\n{expected}\nin\n{error}");
}

/// The same, and the line after the place that it is shown at is this hint.
fn check_with_hint(from: &str, to: &str, expected: &str, hint: &str) {
    assert!(GOOD.contains(from), "`{from}` is not in the definition");
    let error = load(folder().path(), &GOOD.replacen(from, to, 1)).unwrap_err();
    let (said, hinted) = error.split_once("\nhint: ").unwrap_or((&error, ""));
    assert_eq!(said.lines().next(), Some(expected), "{error}");
    assert_eq!(hinted, hint, "{error}");
}

#[test]
fn a_good_definition_has_none() {
    let definition = load(folder().path(), GOOD).unwrap();
    assert_eq!(definition.users[0].gid, 990);
    assert_eq!(definition.disk.size.to_string(), "12GiB");
}

#[test]
fn an_unknown_key_is_shown_with_the_nearest_one() {
    check(
        "packages =",
        "packges =",
        "test.toml:4:1: unknown key `packges`\n 4 | packges = [\"bash\", \"systemd\"]\n   | ^^^^^^^\nhint: did you mean `packages`?",
    );
}

#[test]
fn a_missing_overlay_is_found_before_anything_is_downloaded() {
    check_with_hint(
        "\"files\"",
        "\"flies\"",
        "test.toml:21:9: there is no folder `flies`",
        "overlays are relative to the file that names them",
    );
}

#[test]
fn a_missing_keyring_is_found_before_anything_is_downloaded() {
    check_with_hint(
        "\"keyring.gpg\"",
        "\"keyrin.gpg\"",
        "test.toml:9:11: there is no keyring `keyrin.gpg`",
        "install `debian-archive-keyring`",
    );
}

#[test]
fn impossible_sizes_say_what_would_do() {
    for (from, to, expected, hint) in [
        (
            "\"12GiB\"",
            "\"5GiB\"",
            "test.toml:23:8: a disk of 5GiB cannot hold an ESP of 1GiB, a root of 4GiB and 1GiB for /var",
            "use a `size` of at least 6146MiB",
        ),
        (
            "\"12GiB\"",
            "\"12GB\"",
            "test.toml:23:8: `12GB` is no size",
            "write a number and one of `MiB`, `GiB`, `TiB`, as `512MiB` or `4GiB`",
        ),
        (
            "\"12GiB\"",
            "\"99999999999999999TiB\"",
            "test.toml:23:8: `99999999999999999TiB` is larger than any disk",
            "write the size of a disk, as `12GiB` or `2TiB`",
        ),
        (
            "esp = \"1GiB\"",
            "esp = \"64MiB\"",
            "test.toml:24:7: an ESP of 64MiB is too small",
            "use at least 128MiB",
        ),
        (
            "root = \"4GiB\"",
            "root = \"1MiB\"",
            "test.toml:25:8: a root of 1MiB is too small",
            "use at least 1024MiB",
        ),
    ] {
        check_with_hint(from, to, expected, hint);
    }
}

/// What the hint names is enough, and one MiB less is not.
#[test]
fn the_size_that_a_hint_asks_for_would_do() {
    load(folder().path(), &GOOD.replace("\"12GiB\"", "\"6146MiB\"")).unwrap();
    load(folder().path(), &GOOD.replace("esp = \"1GiB\"", "esp = \"128MiB\"")).unwrap();
    load(folder().path(), &GOOD.replace("root = \"4GiB\"", "root = \"1024MiB\"")).unwrap();
}

#[test]
fn an_id_used_twice_names_the_other_account() {
    check_with_hint(
        "[[group]]",
        "[[user]]\nname = \"two\"\nuid = 990\n[[group]]",
        "test.toml:19:7: the uid 990 is `one`'s already",
        "give each its own, for ever",
    );
    check_with_hint(
        "[overlay]",
        "[[group]]\nname = \"x\"\ngid = 106\n[overlay]",
        "test.toml:22:7: the gid 106 is `kvm`'s already",
        "give each its own, for ever",
    );
}

#[test]
fn words_of_lists_are_checked_where_they_stand() {
    check("\"systemd\"]", "\"bash\"]", "test.toml:4:21: `bash` is there twice");
    check("\"systemd\"]", "\"sys temd\"]", "`sys temd` is no package name");
    check("\"panic=10\"", "\"root=/dev/sda\"", "test.toml:11:14: `root` is set by the boot entry");
    check("\"hostd.service\"", "\"hostd\"", "`hostd` is no unit");
    check("\"raw\"", "\"vmdk\"", "`vmdk` is no format");
    check("http://deb", "ftp://deb", "is no URL");
}

#[test]
fn a_missing_key_is_named_whole() {
    check("suite = \"trixie\"\n", "", "test.toml: the key `debian.suite` is missing");
}

#[test]
fn all_mistakes_are_shown_at_once() {
    let text = GOOD.replace("\"raw\"", "\"x\"").replace("\"hostd.service\"", "\"y\"");
    let error = load(folder().path(), &text).unwrap_err();
    assert!(error.contains("`x` is no format") && error.contains("`y` is no unit"), "{error}");
}

#[test]
fn a_derived_definition_replaces_words_and_adds_to_lists() {
    let dir = folder();
    let text = "inherit = \"base.toml\"\nname = \"dev\"\nref = \"dev\"\npackages = [\"strace\", \"bash\"]\n[disk]\nsize = \"20GiB\"\n";
    let definition = load(dir.path(), text).unwrap();
    assert_eq!(definition.name, "dev");
    assert_eq!(definition.packages, ["bash", "systemd", "strace"]);
    assert_eq!(definition.disk.size.to_string(), "20GiB");
    assert_eq!(definition.debian.suite, "trixie");
}

#[test]
fn a_mistake_in_an_inherited_file_is_shown_there() {
    let dir = folder();
    fs::write(dir.path().join("base.toml"), GOOD.replace("uid = 990", "uid = 99000")).unwrap();
    let error = load(dir.path(), "inherit = \"base.toml\"\n").unwrap_err();
    assert!(error.starts_with("base.toml:16:7: the uid 99000 is too large"), "{error}");
    assert!(error.contains("\nhint: use one from 101 to 65533\n"), "{error}");
}

#[test]
fn inheritance_in_a_circle_or_from_nowhere_is_refused() {
    let dir = folder();
    let error = load(dir.path(), "inherit = \"test.toml\"\n").unwrap_err();
    assert!(error.contains("test.toml:1:11: definitions inherit from each other"), "{error}");
    let error = load(dir.path(), "inherit = \"gone.toml\"\n").unwrap_err();
    assert!(error.starts_with("test.toml:1:11: there is no definition `gone.toml`"), "{error}");
    assert!(error.ends_with("hint: `inherit` is relative to the file that says it"), "{error}");
}

#[test]
fn an_account_of_debians_own_is_refused() {
    check("uid = 990", "uid = 0", "test.toml:16:7: the uid 0 is Debian's own");
    check("name = \"one\"", "name = \"root\"", "test.toml:15:8: the user `root` is Debian's own");
    check("name = \"kvm\"", "name = \"sudo\"", "test.toml:18:8: the group `sudo` is Debian's own");
    check("gid = 106", "gid = 27", "test.toml:19:7: the gid 27 is Debian's own");
}

#[test]
fn nobody_lands_in_another_accounts_group_by_chance() {
    check("gid = 106", "gid = 990", "test.toml:16:7: `one` would be in the group `kvm`");
    check("name = \"kvm\"", "name = \"one\"", "16:7: the group `one` has gid 106, not 990");
}

#[test]
fn what_cannot_stand_in_passwd_is_refused() {
    check("uid = 990", "uid = 990\nhome = \"a\"", "test.toml:17:8: `a` is no absolute path");
    check("uid = 990", "uid = 990\nshell = \"/x y\"", "test.toml:17:9: `/x y` is no absolute path");
    check("uid = 990", "uid = 990\ncomment = \"100%\"", "cannot stand in /etc/passwd");
}

#[test]
fn a_package_that_apt_would_remove_is_refused() {
    check("\"systemd\"]", "\"systemd-\"]", "`systemd-` is no package name");
}

#[test]
fn what_debian_does_not_have_is_refused_before_it_is_asked() {
    check("\"trixie\"", "\"trixe\"", "test.toml:6:9: the suite `trixe` is not known");
    check("\"main\"", "\"mian\"", "test.toml:7:15: the component `mian` is not known");
    check("http://deb", "http:///deb", "is no URL");
}

#[test]
fn a_unit_is_not_enabled_and_masked_at_once() {
    let both = "[units]\nmask = [\"hostd.service\"]";
    check("[units]", both, "test.toml:14:11: `hostd.service` is enabled, and also");
}

#[test]
fn a_derived_definition_may_undo_what_it_inherits_for_a_unit() {
    let dir = folder();
    let text = "inherit = \"base.toml\"\nname = \"dev\"\nref = \"dev\"\n[units]\nmask = [\"hostd.service\"]\n";
    let units = load(dir.path(), text).unwrap().units;
    assert_eq!((units.enable.len(), units.mask), (0, vec!["hostd.service".to_owned()]));
}

#[test]
fn a_derived_definition_has_a_name_and_a_ref_of_its_own() {
    let error = load(folder().path(), "inherit = \"base.toml\"\n").unwrap_err();
    assert!(error.contains("test.toml: a derived definition needs a `name` of its own"), "{error}");
    assert!(error.contains("test.toml: a derived definition needs a `ref` of its own"), "{error}");
}

#[test]
fn a_root_that_is_raised_past_the_inherited_disk_is_to_blame() {
    let text = "inherit = \"base.toml\"\nname = \"dev\"\nref = \"dev\"\n[disk]\nroot = \"20GiB\"\n";
    let error = load(folder().path(), text).unwrap_err();
    assert!(error.starts_with("test.toml:5:8: a disk of 12GiB cannot hold"), "{error}");
}

/// Other programs, which run in other folders, are given these paths.
#[test]
fn overlay_folders_and_the_keyring_are_absolute_also_from_a_relative_path() {
    let dir = folder();
    let up: std::path::PathBuf =
        std::env::current_dir().unwrap().ancestors().skip(1).map(|_| "..").collect();
    let relative = up.join(dir.path().strip_prefix("/").unwrap()).join("base.toml");
    assert!(relative.is_relative());
    let definition = Definition::load(&relative).unwrap();
    assert!(definition.overlay.root.iter().all(|folder| folder.is_absolute()));
    assert!(definition.debian.keyring.is_absolute());
}

#[test]
fn a_mirror_that_no_package_can_be_fetched_from_is_refused() {
    check(
        "\"http://deb",
        "\"file:///deb",
        "test.toml:8:10: `file:///deb.debian.org/debian` is no URL",
    );
}

#[test]
fn the_definitions_that_we_ship_have_none() {
    let images = Path::new(env!("CARGO_MANIFEST_DIR")).join("../images");
    let mut found = 0;
    for entry in fs::read_dir(images).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            Definition::load(&path).unwrap_or_else(|error| panic!("{error}"));
            found += 1;
        }
    }
    assert!(found > 0, "no definitions were found");
}

#[test]
fn fuzz_definition() {
    basalt_fuzz::run_on_text!(&[GOOD, include_str!("../../../images/base.toml")], |text| {
        let raw = basalt_document::parse_toml::<super::raw::File>("base.toml", text);
        raw.map_err(|error| error.to_string())
    });
}
