//! Images from a server that breaks off, stalls and lies.

use std::fs;
use std::path::Path;
use std::time::Duration;

use basalt_builder::progress::Progress;
use basalt_builder::write::{self, Options, Patience};
use basalt_cmd::Cmd;

use crate::ground::{Ground, MIB, PATIENCE, refused};
use crate::server::{Answer, Server};

const ETAG: &str = "etag: \"one\"";
const DATE: &str = "last-modified: Mon, 30 Nov 2026 01:00:00 GMT";

/// The image of a ground, compressed, so that it goes over the wire in a moment.
fn packed(ground: &Ground) -> Vec<u8> {
    let cmd = Cmd::new("zstd").args(["-q", "-1", "-c"]).arg(ground.path("disk.raw"));
    cmd.output_cap(256 << 20).run().expect("it is compressed").stdout
}

fn write_from(server: &Server, ground: &Ground) {
    let options = ground.options(&server.url(), &ground.path("disk"));
    write::write(&options, Progress::Silent).expect("it is written");
    ground.check("disk");
}

/// What is said; the target has no beginning, if it is there at all.
fn refused_from(server: &Server, ground: &Ground) -> String {
    let to = ground.path("disk");
    let said = refused(&ground.options(&server.url(), &to));
    assert!(boots_nowhere(&to), "{said}");
    said
}

pub(crate) fn boots_nowhere(disk: &Path) -> bool {
    let Ok(bytes) = fs::read(disk) else { return true };
    bytes.iter().take(MIB as usize).all(|byte| *byte == 0)
}

#[test]
fn an_image_comes_from_a_server() {
    let ground = Ground::new();
    let server = Server::start(fs::read(ground.path("disk.raw")).unwrap(), ETAG, &[Answer::Whole]);
    write_from(&server, &ground);
    assert_eq!(server.asked(), [""]);
}

#[test]
fn what_breaks_off_and_stalls_goes_on_where_it_was() {
    let ground = Ground::new();
    let image = packed(&ground);
    let third = image.len() / 3;
    for (validator, answers) in [
        (ETAG, [Answer::Breaks(third), Answer::Stalls(third), Answer::Busy, Answer::Whole]),
        (DATE, [Answer::Stalls(third), Answer::Breaks(0), Answer::Breaks(third), Answer::Whole]),
    ] {
        let server = Server::start(image.clone(), validator, &answers);
        write_from(&server, &ground);
        let asked = server.asked();
        assert_eq!(asked.len(), 4, "{asked:?}");
        assert_eq!(asked[1], format!("bytes={third}-"));
        assert_eq!(asked[3], format!("bytes={}-", 2 * third));
    }
}

#[test]
fn a_server_without_ranges_sends_it_once_more() {
    let ground = Ground::new();
    let image = packed(&ground);
    let answers = [Answer::Breaks(image.len() / 2), Answer::NoRanges];
    write_from(&Server::start(image, DATE, &answers), &ground);
}

#[test]
fn what_is_another_file_by_now_is_not_gone_on_with() {
    let ground = Ground::new();
    let image = packed(&ground);
    let half = image.len() / 2;
    for (validator, lie) in [
        (ETAG, Answer::Another),
        (ETAG, Answer::OtherPart),
        // Nobody can know.
        ("x-nothing: said", Answer::Whole),
        ("etag: W/\"weak\"", Answer::Whole),
    ] {
        let server = Server::start(image.clone(), validator, &[Answer::Breaks(half), lie]);
        let said = refused_from(&server, &ground);
        let why = ["may have another file now", "sent another part"];
        assert!(why.iter().any(|why| said.contains(why)), "{lie:?}: {said}");
        assert_eq!(server.asked().len(), 2, "{lie:?}");
    }
}

#[test]
fn a_server_that_gives_nothing_more_is_given_up() {
    let ground = Ground::new();
    let image = packed(&ground);
    let half = image.len() / 2;
    let server = Server::start(image, ETAG, &[Answer::Breaks(half), Answer::Stalls(0)]);
    let patience = Patience { silence: Duration::from_millis(300), tries: 3, ..PATIENCE };
    let options = |url: &str| Options { patience, ..ground.options(url, &ground.path("disk")) };
    let said = refused(&options(&server.url()));
    assert!(boots_nowhere(&ground.path("disk")));
    assert!(said.contains(&format!("3 times on end, after {half} bytes")), "{said}");
    assert_eq!(said.matches("on end").count(), 1, "{said}");
    assert!(said.contains("does not boot") && said.contains("hint: write it again"), "{said}");
    fs::remove_file(ground.path("disk")).unwrap();
    let said = refused(&options("http://127.0.0.1:1/disk.raw"));
    assert!(said.contains("3 times on end, after 0 bytes"), "{said}");
    assert!(!ground.path("disk").exists());
}

#[test]
fn what_is_not_there_is_asked_for_once() {
    let ground = Ground::new();
    let server = Server::start(Vec::new(), ETAG, &[Answer::Whole]);
    let url = server.url().replace("disk.raw", "other.raw");
    let said = refused(&ground.options(&url, &ground.path("disk")));
    assert!(said.contains("the server answered 404 Not Found"), "{said}");
    assert!(!ground.path("disk").exists());
}
