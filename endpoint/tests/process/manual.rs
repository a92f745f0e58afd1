//! What the programs tell of themselves, and how they end.

use std::fs;
use std::net::TcpListener;

use basalt_cmd::Cmd;
use serde_json::Value;

use crate::endpoint::{Ended, Endpoint, run};

/// `basalt-endpoint` with nothing around it.
async fn bare(args: &[&str]) -> Ended {
    run(Cmd::new(env!("CARGO_BIN_EXE_basalt-endpoint")).args(args)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_learns_the_commands_and_each_has_a_page() {
    let endpoint = Endpoint::start();
    for shell in ["bash", "zsh", "fish"] {
        assert!(endpoint.ctl(&["completion", shell]).await.stdout.contains("resync"), "{shell}");
        let of_endpoint = bare(&["completion", shell]).await;
        assert!(of_endpoint.stdout.contains("max-connections"), "{shell}: {}", of_endpoint.stderr);
    }
    let folder = endpoint.path("man");
    let out = folder.to_str().unwrap();
    assert_eq!(endpoint.ctl(&["man", "--out", out]).await.code, 0);
    assert_eq!(bare(&["man", "--out", out]).await.code, 0);
    for (page, expected) in [
        ("basaltctl-hosts-resync.1", "Decide whose set counts"),
        ("basalt-endpoint.1", "max\\-connections"),
        ("basalt-endpoint-restore.1", "Put a backup into the folder"),
    ] {
        let text = fs::read_to_string(folder.join(page)).unwrap();
        assert!(text.contains(expected), "{page}: {text}");
    }
    let page = fs::read_to_string(folder.join("basalt-endpoint.1")).unwrap();
    assert!(!page.contains("quicken"), "what is for tests is told to nobody");
}

#[tokio::test(flavor = "multi_thread")]
async fn both_programs_tell_their_version() {
    for (program, name) in [
        (env!("CARGO_BIN_EXE_basalt-endpoint"), "basalt-endpoint"),
        (env!("CARGO_BIN_EXE_basaltctl"), "basaltctl"),
    ] {
        let told = run(Cmd::new(program).arg("--version")).await;
        let expected = format!("{name} {}", env!("CARGO_PKG_VERSION"));
        assert_eq!((told.code, told.stdout.trim()), (0, &*expected), "{}", told.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_of_a_file_is_printed_without_an_endpoint() {
    let schema = run(Cmd::new(env!("CARGO_BIN_EXE_basaltctl")).env_clear().arg("schema")).await;
    let schema: Value = serde_json::from_str(&schema.stdout).unwrap();
    assert!(schema.to_string().contains("\"replace_after\""), "{schema}");
}

/// 0 is well, 1 is for whoever started it to mend, 2 is ours.
#[tokio::test(flavor = "multi_thread")]
async fn the_exit_code_of_an_endpoint_tells_who_can_mend_it() {
    let mut endpoint = Endpoint::start();
    assert_eq!(tokio::task::block_in_place(|| endpoint.terminate()), Some(0));
    assert_eq!(endpoint.command(&["--nonsense"]).await.code, 1);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let refused = endpoint.command(&["--listen", &address]).await;
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    assert!(refused.stderr.contains("cannot listen on"), "{}", refused.stderr);
    // What it alone writes makes no sense.
    fs::write(endpoint.data().database(), "noise ".repeat(10_000)).unwrap();
    let broken = endpoint.command(&["--listen", "127.0.0.1:0"]).await;
    assert_eq!(broken.code, 2, "{}", broken.stderr);
    assert!(broken.stderr.contains("cannot open the database"), "{}", broken.stderr);
}
