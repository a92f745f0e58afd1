//! The script with which iPXE boots a live system. Pure.

use anyhow::{Result, bail};
use basalt_live::{Mode, arguments};
use basalt_sysroot::kargs;

use crate::manifest::{Live, Manifest};

/// What iPXE would read as its own.
const ITS_OWN: [char; 6] = ['"', '\'', '\\', '$', '|', '#'];
/// Seconds between two tries: a server that was switched on with the machine takes its time.
const PAUSE: u32 = 10;
/// Which card it was booted over, as PXELINUX says it (`IPAPPEND 2`): `netX` is the one that iPXE used
/// last. An installer knows `network --device=bootif` by it.
const CARD: &str = "BOOTIF=01-${netX/mac:hexhyp}";

/// The script that boots the live system of a build, whose files lie at `url`, as a host unless
/// `append` says otherwise.
///
/// # Errors
/// An argument is none, or iPXE would read it as something else.
pub fn script(manifest: &Manifest, live: &Live, url: &str, append: &[String]) -> Result<String> {
    let append = kargs::parse(&append.join("\n"))?;
    let rootfs = format!("{url}/{}", live.rootfs.name());
    let line = arguments(Mode::Host, &rootfs, &live.arguments, &append).join(" ");
    if let Some(word) = line.split(' ').find(|word| word.contains(ITS_OWN) || *word == "&&") {
        bail!(
            "iPXE would not read `{word}` as it is meant\nhint: leave out quotes, `\\`, `$`, `|`, `#`"
        );
    }
    // Whoever names another one means it.
    let has_card = append.iter().any(|word| word.starts_with("BOOTIF="));
    let card = if has_card { String::new() } else { format!(" {CARD}") };
    let (kernel, initrd) = (live.kernel.name(), live.initrd.name());
    let (name, version) = (&manifest.name, &manifest.version);
    Ok(format!(
        "#!ipxe\n\
         # {name} {version}, by `basalt pxe`. These three belong together: this initrd boots this\n\
         # rootfs and no other.\n\
         :again\n\
         dhcp || goto wait\n\
         kernel {url}/{kernel} initrd={initrd} {line}{card} || goto wait\n\
         initrd --name {initrd} {url}/{initrd} || goto wait\n\
         boot || goto wait\n\
         :wait\n\
         echo {name} {version} did not boot; once more in {PAUSE} seconds\n\
         sleep {PAUSE}\n\
         imgfree\n\
         goto again\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(arguments: &[&str]) -> (Manifest, Live) {
        let output = tempfile::tempdir().unwrap();
        std::fs::create_dir(output.path().join("live")).unwrap();
        let arguments = arguments.iter().map(|word| (*word).to_owned()).collect();
        (Manifest::sample(), Live { arguments, ..Live::sample(output.path()) })
    }

    fn of(arguments: &[&str], append: &[&str]) -> Result<String> {
        let (manifest, live) = build(arguments);
        let append: Vec<String> = append.iter().map(|word| (*word).to_owned()).collect();
        script(&manifest, &live, "http://boot.example/base-5", &append)
    }

    #[test]
    fn the_script_names_three_files_of_one_folder_and_tries_for_ever() {
        let text = of(&["console=ttyS0,115200n8"], &["basalt.live=install"]).unwrap();
        let expected = "\
#!ipxe
# base 5, by `basalt pxe`. These three belong together: this initrd boots this
# rootfs and no other.
:again
dhcp || goto wait
kernel http://boot.example/base-5/vmlinuz initrd=initrd.img androidboot.slot_suffix=_a ostree \
systemd.machine_id=firmware basalt.live=host \
basalt.live.url=http://boot.example/base-5/rootfs.squashfs console=ttyS0,115200n8 \
basalt.live=install BOOTIF=01-${netX/mac:hexhyp} || goto wait
initrd --name initrd.img http://boot.example/base-5/initrd.img || goto wait
boot || goto wait
:wait
echo base 5 did not boot; once more in 10 seconds
sleep 10
imgfree
goto again
";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_card_that_somebody_names_is_the_one_that_counts() {
        let text = of(&[], &["BOOTIF=01-52-54-00-12-34-56"]).unwrap();
        assert!(text.contains(" BOOTIF=01-52-54-00-12-34-56 || goto wait\n"), "{text}");
        assert_eq!(text.matches("BOOTIF=").count(), 1);
    }

    #[test]
    fn what_ipxe_would_read_otherwise_and_what_is_no_argument_is_refused() {
        for word in ["x=\"a b\"", "x=$y", "x=\\", "x='a'", "a||b"] {
            let told = of(&[], &[word]).unwrap_err().to_string();
            assert!(told.starts_with("iPXE would not read `"), "{word}: {told}");
        }
        let told = of(&[], &["two words"]).unwrap_err().to_string();
        assert!(told.contains("is more than one argument"), "{told}");
        let told = of(&[], &["ostree"]).unwrap_err().to_string();
        assert!(told.contains("is set by the boot entry itself"), "{told}");
    }
}
