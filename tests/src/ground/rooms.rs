//! Namespaces of one test's own: its mounts and its network are nobody else's, and go with it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use basalt_cmd::Cmd;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount,
};
use rustix::thread::UnshareFlags;

/// An address of this network that is not loopback: engines trust that one more than others.
pub const ADDRESS: &str = "10.99.0.1";
/// A name that resolves to it. It stands in `/etc/hosts` from the beginning: engines remember that
/// file for some seconds.
pub const HOST: &str = "registry.test";

/// Moves this thread, and all that it starts from now on, into a network and a table of mounts of
/// its own. `/run` is empty there, and `/etc` may be written without touching the machine's.
pub(super) fn enter(folder: &Path) -> io::Result<()> {
    unshare()?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount("tmpfs", "/run", "tmpfs", flags, c"mode=755")?;
    own_etc(folder)?;
    let hosts = fs::read_to_string("/etc/hosts").unwrap_or_default();
    fs::write("/etc/hosts", format!("{hosts}\n{ADDRESS} {HOST}\n"))?;
    loopback()?;
    let address = ["address", "add", ADDRESS, "dev", "lo"];
    Cmd::new("ip").args(address).run().map_err(io::Error::other)?;
    Ok(())
}

fn loopback() -> io::Result<()> {
    let up = Cmd::new("ip").args(["link", "set", "lo", "up"]).run();
    up.map(drop).map_err(io::Error::other)
}

#[expect(unsafe_code, reason = "rustix marks it so for a flag that is not used here")]
fn unshare() -> io::Result<()> {
    let flags = UnshareFlags::NEWNS | UnshareFlags::NEWNET;
    // SAFETY: only unsharing the table of open files (CLONE_FILES) can break what other threads
    // rely on, and it is not among the flags.
    unsafe { rustix::thread::unshare_unsafe(flags) }.map_err(io::Error::from)
}

fn own_etc(folder: &Path) -> io::Result<()> {
    let (upper, work) = (folder.join("etc"), folder.join("etc-work"));
    for part in [&upper, &work] {
        fs::create_dir(part)?;
    }
    fs::set_permissions(&upper, fs::Permissions::from_mode(0o755))?;
    let options = format!("lowerdir=/etc,upperdir={},workdir={}", upper.display(), work.display());
    let options = std::ffi::CString::new(options).map_err(io::Error::other)?;
    mount("overlay", "/etc", "overlay", MountFlags::empty(), options.as_c_str())?;
    Ok(())
}

/// Gives this thread, and all that it starts from now on, a table of mounts of its own in which
/// `folder` is a file system of this size, and a network with nothing but loopback.
///
/// # Errors
/// The kernel refuses, as to who is not root.
pub fn own_small_disk(folder: &Path, mib: u32) -> io::Result<()> {
    unshare()?;
    loopback()?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    fs::create_dir_all(folder)?;
    small_disk(folder, mib)?;
    // Who runs as another user passes through it.
    fs::set_permissions(folder, fs::Permissions::from_mode(0o711))
}

/// Makes `folder` a file system of this size.
///
/// # Errors
/// The kernel refuses.
pub fn small_disk(folder: &Path, mib: u32) -> io::Result<()> {
    let options = std::ffi::CString::new(format!("size={mib}m")).map_err(io::Error::other)?;
    mount("tmpfs", folder, "tmpfs", MountFlags::empty(), options.as_c_str())?;
    Ok(())
}

/// Takes all the room that there is on a file system, by a file that it makes there.
///
/// # Errors
/// Something other than the lack of room ends the writing.
pub fn fill(path: &Path) -> io::Result<()> {
    let mut file = File::create(path)?;
    for block in [1 << 16, 1 << 12, 1] {
        let bytes = vec![0; block];
        let ended = std::iter::repeat_with(|| file.write_all(&bytes)).find_map(Result::err);
        ended.filter(|error| error.kind() != io::ErrorKind::StorageFull).map_or(Ok(()), Err)?;
    }
    Ok(())
}

/// Unmounts everything below `folder`, what was mounted last first.
pub(super) fn unmount_below(folder: &Path) {
    let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap_or_default();
    let targets = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    let below: Vec<&str> = targets.filter(|target| Path::new(target).starts_with(folder)).collect();
    for target in below.into_iter().rev() {
        // One that goes with another is gone already.
        let _ = unmount(target, UnmountFlags::DETACH);
    }
}
