//! What becomes of images that are not what somebody says, and of servers that do not behave.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use basalt_api::workload::{DiskFormat, VmDisk};
use basalt_cmd::Cmd;
use hostd::runtime::{Data, Failure, Runtime};

use crate::ground::{Host, TEST_DRIVER, file_disk, sha256, small, until, url_disk};
use crate::web::{Answer, Web};

const IMAGE: &[u8] = &[7; 300_000];

/// A host that may fetch from this server.
fn host_for(web: &Web, max_image_bytes: u64, idle_s: u32) -> Host {
    Host::with(TEST_DRIVER, |settings, _| {
        settings.url_allow = vec![web.name()];
        settings.max_image_bytes = max_image_bytes;
        settings.idle_s = idle_s;
    })
}

/// Fetching the image fails with this sentence, and nothing is left of it.
async fn refused(host: &Host, disk: VmDisk, expected: &str) {
    fails(host, disk, expected).await;
    assert_eq!(host.cache(), [""; 0]);
}

/// Fetching the image fails with this sentence.
async fn fails(host: &Host, disk: VmDisk, expected: &str) {
    let error = host.machines.prepare(&small(disk)).await.unwrap_err();
    assert!(error.message.contains(expected), "{error}");
    assert!(!error.message.contains("canary") && !error.message.contains('\n'), "{error}");
    assert_eq!(error.kind, Failure::Workload);
}

/// The name of a download that broke off.
fn part(bytes: &[u8]) -> String {
    format!(".part-{}.raw", sha256(bytes))
}

fn qcow2(path: &Path, options: &[&str]) -> VmDisk {
    let cmd = Cmd::new("qemu-img").args(["create", "-q", "-f", "qcow2"]).args(options).arg(path);
    cmd.arg("4M").run().unwrap();
    VmDisk { format: DiskFormat::Qcow2, ..file_disk(path) }
}

#[tokio::test]
async fn an_image_is_fetched_once_and_verified() {
    let web = Web::new(Answer::Bytes(IMAGE.to_vec()));
    let host = host_for(&web, 1 << 20, 20);
    let disk = url_disk(&web.url(), IMAGE);
    for _ in 0..2 {
        host.machines.prepare(&small(disk.clone())).await.unwrap();
    }
    assert_eq!(web.asked(), 1);
    assert_eq!(host.cache(), [format!("{}.raw", sha256(IMAGE))]);
}

#[tokio::test]
async fn an_image_that_lies_about_its_hash_is_refused() {
    let web = Web::new(Answer::Bytes(b"another one".to_vec()));
    let host = host_for(&web, 1 << 20, 20);
    let (is, wanted) = (sha256(b"another one"), sha256(IMAGE));
    let sentence = format!("/image has the SHA-256 {is}, and not {wanted}");
    refused(&host, url_disk(&web.url(), IMAGE), &sentence).await;
}

#[tokio::test]
async fn the_host_itself_is_no_place_to_fetch_from_unless_it_is_allowed() {
    let web = Web::new(Answer::Bytes(IMAGE.to_vec()));
    let host = Host::new(TEST_DRIVER);
    let sentence = "leads to 127.0.0.1, which is this host itself, and `url_allow` in the host's \
                    policy does not name `127.0.0.1`";
    refused(&host, url_disk(&web.url(), IMAGE), sentence).await;
    let by_name = format!("http://localhost:{}/", web.port);
    refused(&host, url_disk(&by_name, IMAGE), "which is this host itself").await;
    assert_eq!(web.asked(), 0);
}

#[tokio::test]
async fn a_server_that_is_allowed_cannot_lead_to_one_that_is_not() {
    let inner = Web::new(Answer::Bytes(IMAGE.to_vec()));
    let outer = Web::new(Answer::Redirect(inner.url()));
    let host = host_for(&outer, 1 << 20, 20);
    refused(&host, url_disk(&outer.url(), IMAGE), "which is this host itself").await;
    assert_eq!((outer.asked(), inner.asked()), (1, 0));
}

#[tokio::test]
async fn a_server_that_leads_on_for_ever_is_left() {
    let web = Web::new(Answer::Missing);
    web.answers(Answer::Redirect(web.url()));
    let host = host_for(&web, 1 << 20, 20);
    refused(&host, url_disk(&web.url(), IMAGE), "leads on more than 5 times").await;
    assert_eq!(web.asked(), 6);
}

#[tokio::test]
async fn what_is_not_there_is_said_so() {
    let web = Web::new(Answer::Missing);
    let host = host_for(&web, 1 << 20, 20);
    refused(&host, url_disk(&web.url(), IMAGE), "/image answers 404").await;
    refused(&host, url_disk("http://no-such-host.invalid/a", IMAGE), "does not resolve").await;
}

#[tokio::test]
async fn a_download_without_end_ends() {
    let web = Web::new(Answer::Endless);
    let host = host_for(&web, 1 << 20, 20);
    refused(&host, url_disk(&web.url(), IMAGE), "is longer than 1048576 bytes").await;
    web.answers(Answer::Promise(1 << 40));
    refused(&host, url_disk(&web.url(), IMAGE), "is longer than 1048576 bytes").await;
}

#[tokio::test]
async fn a_download_that_stalls_is_given_up_and_holds_up_nobody() {
    let web = Web::new(Answer::Silence);
    let host = host_for(&web, 4 << 20, 2);
    let make = small(host.image("image", IMAGE));
    let stalled = fails(&host, url_disk(&web.url(), IMAGE), "nothing came from http://127.0.0.1");
    let others = async {
        until("it is asked", || web.asked() == 1).await;
        host.machines.create(&make).await.unwrap_err();
        host.machines.observe().await.unwrap();
        assert_eq!(web.left(), 0, "the others did not wait for it");
    };
    tokio::join!(stalled, others);
    host.make(&make).await.unwrap();
}

#[tokio::test]
async fn a_download_ends_when_nobody_waits_for_it() {
    let web = Web::new(Answer::Silence);
    let host = host_for(&web, 4 << 20, 300);
    let make = small(url_disk(&web.url(), IMAGE));
    tokio::select! {
        result = host.machines.prepare(&make) => panic!("it ended: {result:?}"),
        () = until("it is asked", || web.asked() == 1) => (),
    }
    until("the server is left", || web.left() == 1).await;
    // What came is there for the next one, and for nothing else.
    until("it was given up", || host.cache() == [part(IMAGE)]).await;
}

#[tokio::test]
async fn a_download_that_broke_off_goes_on_where_it_was() {
    let web = Web::new(Answer::Pieces(IMAGE.to_vec(), 120_000));
    let host = host_for(&web, 1 << 20, 20);
    let disk = url_disk(&web.url(), IMAGE);
    fails(&host, disk.clone(), "/image broke off after 120000 bytes").await;
    assert_eq!(host.cache(), [part(IMAGE)]);
    // hostd-virt may have died meanwhile.
    host.kill_process().await;
    fails(&host, disk.clone(), "/image broke off after 240000 bytes").await;
    host.machines.prepare(&small(disk)).await.unwrap();
    assert_eq!(web.begins(), [0, 120_000, 240_000]);
    assert_eq!(host.cache(), [format!("{}.raw", sha256(IMAGE))]);
}

#[tokio::test]
async fn what_does_not_belong_together_is_fetched_anew() {
    let web = Web::new(Answer::Pieces(vec![8; 300_000], 120_000));
    let host = host_for(&web, 1 << 20, 20);
    let disk = url_disk(&web.url(), IMAGE);
    fails(&host, disk.clone(), "broke off after 120000 bytes").await;
    web.answers(Answer::Pieces(IMAGE.to_vec(), usize::MAX));
    host.machines.prepare(&small(disk.clone())).await.unwrap();
    assert_eq!(web.begins(), [0, 120_000, 0]);
    assert_eq!(host.cache(), [format!("{}.raw", sha256(IMAGE))]);
}

#[tokio::test]
async fn a_server_that_gives_no_parts_is_asked_for_the_whole() {
    let web = Web::new(Answer::Pieces(IMAGE.to_vec(), 120_000));
    let host = host_for(&web, 1 << 20, 20);
    let disk = url_disk(&web.url(), IMAGE);
    fails(&host, disk.clone(), "broke off after 120000 bytes").await;
    web.answers(Answer::Bytes(IMAGE.to_vec()));
    host.machines.prepare(&small(disk)).await.unwrap();
    assert_eq!(web.begins(), [0, 120_000, 0]);
}

#[tokio::test]
async fn a_download_that_broke_off_long_ago_is_not_kept() {
    let web = Web::new(Answer::Pieces(IMAGE.to_vec(), 120_000));
    let host = host_for(&web, 1 << 20, 20);
    fails(&host, url_disk(&web.url(), IMAGE), "broke off after 120000 bytes").await;
    let path = host.path("state/images").join(part(IMAGE));
    Cmd::new("touch").args(["-d", "2 hours ago"]).arg(path).run().unwrap();
    host.kill_process().await;
    host.make(&small(host.image("image", &[8; 4096]))).await.unwrap();
    assert_eq!(host.cache(), [format!("{}.raw", sha256(&[8; 4096]))]);
}

#[tokio::test]
async fn a_download_dies_with_who_started_it() {
    let web = Web::new(Answer::Silence);
    let host = host_for(&web, 4 << 20, 300);
    let make = small(url_disk(&web.url(), IMAGE));
    let kill = async {
        until("it is asked", || web.asked() == 1).await;
        host.kill_process().await;
    };
    let (result, ()) = tokio::join!(host.machines.prepare(&make), kill);
    assert_eq!(result.unwrap_err().kind, Failure::Unavailable);
    until("the server is left", || web.left() == 1).await;
    web.answers(Answer::Bytes(IMAGE.to_vec()));
    host.machines.prepare(&make).await.unwrap();
    assert_eq!(host.cache(), [format!("{}.raw", sha256(IMAGE))]);
}

#[tokio::test]
async fn who_speaks_with_strangers_can_do_nothing_else() {
    let web = Web::new(Answer::Silence);
    let host = host_for(&web, 4 << 20, 300);
    let make = small(url_disk(&web.url(), IMAGE));
    let look = async {
        until("it is asked", || web.asked() == 1).await;
        let parent = host.machines.process_id().await.unwrap();
        let status = child_status(parent);
        let says =
            |what: &str| status.lines().any(|line| line.split_whitespace().eq(what.split(' ')));
        if rustix::process::geteuid().is_root() {
            assert!(says("Uid: 65534 65534 65534 65534"), "{status}");
            assert!(says("Gid: 65534 65534 65534 65534") && says("Groups:"), "{status}");
        }
        assert!(says("NoNewPrivs: 1") && says("CapEff: 0000000000000000"), "{status}");
    };
    tokio::select! {
        result = host.machines.prepare(&make) => panic!("it ended: {result:?}"),
        () = look => (),
    }
}

/// What the kernel says of the one child of this process.
fn child_status(parent: u32) -> String {
    let wanted = format!("PPid:\t{parent}");
    let statuses = fs::read_dir("/proc").unwrap().map_while(Result::ok);
    let mut statuses = statuses.flat_map(|entry| fs::read_to_string(entry.path().join("status")));
    statuses.find(|status| status.lines().any(|line| line == wanted)).expect("it has a child")
}

#[tokio::test]
async fn an_image_that_leads_to_other_files_is_refused() {
    let host = Host::new(TEST_DRIVER);
    fs::write(host.path("secret"), [1; 4096]).unwrap();
    let secret = host.path("secret").to_str().unwrap().to_owned();
    let backed = qcow2(&host.path("backed"), &["-b", &secret, "-F", "raw"]);
    refused(&host, backed, "has a backing file").await;
    let beside = format!("data_file={}", host.path("beside").display());
    let split = qcow2(&host.path("split"), &["-o", &beside]);
    refused(&host, split, "has its data in another file").await;
}

#[tokio::test]
async fn an_image_of_another_format_than_stated_is_refused() {
    let host = Host::new(TEST_DRIVER);
    let disk = VmDisk { format: DiskFormat::Qcow2, ..host.image("raw", IMAGE) };
    refused(&host, disk, "is no qcow2 image").await;
    let good = qcow2(&host.path("good"), &[]);
    let mut bytes = fs::read(host.path("good")).unwrap();
    // The bits of a cluster's size.
    bytes[20..24].fill(9);
    let broken = VmDisk { format: DiskFormat::Qcow2, ..host.image("broken", &bytes) };
    refused(&host, broken, "is no good qcow2 image").await;
    host.machines.prepare(&small(good)).await.unwrap();
}

#[tokio::test]
async fn a_link_or_a_pipe_in_place_of_a_file_is_refused() {
    let host = Host::new(TEST_DRIVER);
    let disk = host.image("image", IMAGE);
    let at = |path: &Path| VmDisk { file: Some(path.to_str().unwrap().to_owned()), ..disk.clone() };
    symlink(host.path("image"), host.path("link")).unwrap();
    refused(&host, at(&host.path("link")), "leads through a symbolic link").await;
    // Neither on the way to it.
    symlink(host.path(""), host.path("way")).unwrap();
    refused(&host, at(&host.path("way/image")), "leads through a symbolic link").await;
    refused(&host, at(Path::new("/etc/passwd")), "below no folder that this host allows").await;
    Cmd::new("mkfifo").arg(host.path("pipe")).run().unwrap();
    refused(&host, at(&host.path("pipe")), "is no plain file").await;
    refused(&host, at(&host.path("nowhere")), "the host has no").await;
}

#[tokio::test]
async fn a_disk_smaller_than_its_image_is_refused_and_leaves_nothing() {
    let host = Host::new(TEST_DRIVER);
    let path = host.path("large");
    Cmd::new("qemu-img").args(["create", "-q", "-f", "qcow2"]).arg(&path).arg("3G").run().unwrap();
    let format = DiskFormat::Qcow2;
    let disk = VmDisk { format, size_gib: Some(2), ..file_disk(&path) };
    let error = host.make(&small(disk)).await.unwrap_err();
    assert_eq!(error.message, "its disk shall have 2 GiB, and the image has 3 GiB already");
    assert_eq!(host.folders(), [""; 0]);
}

#[tokio::test]
async fn what_a_cut_left_of_a_download_goes_at_the_next_start() {
    let host = Host::new(TEST_DRIVER);
    let make = small(host.image("image", IMAGE));
    fs::create_dir_all(host.path("state/images")).unwrap();
    fs::write(host.path("state/images/.half-abc"), "half").unwrap();
    host.make(&make).await.unwrap();
    assert_eq!(host.cache(), [format!("{}.raw", sha256(IMAGE))]);
}

#[tokio::test]
async fn an_image_that_no_machine_uses_goes_with_the_last_that_did() {
    let host = Host::new(TEST_DRIVER);
    let (one, two) = (host.image("one", IMAGE), host.image("two", &[8; 4096]));
    let (one, two) = (small(one), small(two));
    host.make(&one).await.unwrap();
    host.make(&two).await.unwrap();
    // As if both had been fetched long ago.
    for name in host.cache() {
        let path = host.path("state/images").join(name);
        Cmd::new("touch").args(["-d", "2 days ago"]).arg(path).run().unwrap();
    }
    host.machines.remove(two.assigned.uid, Data::Delete).await.unwrap();
    assert_eq!(host.cache(), [format!("{}.raw", sha256(IMAGE))]);
    host.machines.start(one.assigned.uid).await.unwrap();
}
