//! Where the kickstart comes from.

use std::fs;

use basalt_cmd::Cmd;

use super::ground::{Ground, alone_with_volumes, has_disks, said, tool};

#[test]
fn a_kickstart_on_the_volume_oemdrv_is_found_and_what_lies_beside_it() {
    if !has_disks() {
        return;
    }
    let _alone = alone_with_volumes();
    let ground = Ground::new();
    let disk = ground.disk("disk.img", 520, 512);
    let stick = ground.disk("stick.img", 520, 512);
    let folder = ground.path("on-the-stick");
    fs::create_dir(&folder).expect("a folder");
    fs::write(folder.join("ks.cfg"), disk.kickstart() + "%include name.ks\n").expect("a file");
    fs::write(folder.join("name.ks"), "network --hostname=beside.example\n").expect("a file");
    let device = format!("/dev/{}", stick.name);
    let mke2fs = tool("mke2fs").args(["-q", "-t", "ext4", "-L", "OEMDRV", "-d"]).arg(&folder);
    mke2fs.arg(&device).run().expect("a file system");
    let output = ground.program_of(&ground.path("repo")).output().expect("it runs");
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("/ks.cfg, by the volume `OEMDRV`"), "{text}");
    let hostname = ground.etc(&disk).join("hostname");
    assert_eq!(super::ground::read(&hostname), "beside.example\n");
    // What the kickstart lies on is in use, and stays what it is.
    let on_itself = disk.kickstart().replace(&disk.name, &stick.name);
    fs::write(folder.join("ks.cfg"), on_itself).expect("a file");
    let again = tool("mke2fs").args(["-q", "-F", "-t", "ext4", "-L", "OEMDRV", "-d"]);
    again.arg(&folder).arg(&device).run().expect("a file system");
    let output = ground.program_of(&ground.path("repo")).output().expect("it runs");
    let text = said(&output);
    assert!(text.contains("it is in use") && text.contains("nothing was changed"), "{text}");
}

#[test]
fn a_credential_is_a_kickstart_where_nothing_else_is() {
    if !has_disks() {
        return;
    }
    let _alone = alone_with_volumes();
    let ground = Ground::new();
    let folder = ground.path("credentials");
    fs::create_dir(&folder).expect("a folder");
    let program = || ground.program_of(&ground.path("repo")).env("CREDENTIALS_DIRECTORY", &folder);
    let none = said(&program().arg("--dry-run").output().expect("it runs"));
    assert!(none.contains("there is no kickstart"), "{none}");
    fs::write(folder.join("basalt.kickstart"), "autopar\n").expect("a file");
    let text = said(&program().arg("--dry-run").output().expect("it runs"));
    assert!(text.contains("by the credential `basalt.kickstart`"), "{text}");
    assert!(text.contains("unknown command `autopar`"), "{text}");
}

#[test]
fn a_kickstart_comes_from_a_web_server() {
    if !has_disks() {
        return;
    }
    let ground = Ground::new();
    let disk = ground.disk("disk.img", 520, 512);
    fs::write(ground.path("web.ks"), disk.kickstart()).expect("a file");
    let python = Cmd::new("python3").args(["-u", "-m", "http.server", "--bind", "127.0.0.1", "0"]);
    let python = python.current_dir(ground.dir.path());
    let null = std::process::Stdio::null;
    let mut server = python.spawn(null(), std::process::Stdio::piped(), null()).expect("a server");
    let stdout = server.child().stdout.take().expect("its stdout");
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).expect("a line");
    let port = line.split_whitespace().skip_while(|word| *word != "port").nth(1).expect("a port");
    let url = format!("http://127.0.0.1:{port}/web.ks");
    let program = ground.program_of(&ground.path("repo")).args(["--dry-run", "--kickstart", &url]);
    let text = said(&program.output().expect("it runs"));
    assert!(text.contains(&format!("kickstart: {url}, by `--kickstart`")), "{text}");
    assert!(text.contains("from now on the disk boots"), "{text}");
}

#[test]
fn who_sits_at_a_terminal_is_asked_and_nothing_goes_without_its_name() {
    if !has_disks() {
        return;
    }
    let ground = Ground::new();
    let disk = ground.disk("disk.img", 8192, 512);
    let before = super::refusals::Copy::of(&disk);
    let asked = |last: &str| {
        let program = ground.program_of(&ground.path("repo")).args(["--ask", "--stay"]);
        let typed = format!("{}\nasked.example\n\n{last}\n", disk.name);
        program.stdin(typed).output().expect("it runs")
    };
    let output = asked("yes");
    let text = said(&output);
    assert!(!output.status.success() && text.contains("it was not confirmed"), "{text}");
    before.check(&disk);
    let output = asked(&disk.name);
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    disk.check();
    assert_eq!(super::ground::read(&ground.etc(&disk).join("hostname")), "asked.example\n");
}
