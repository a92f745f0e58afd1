//! A host that runs, as a test sees it.

use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use basalt_site::endpoint::Endpoint;
use basalt_site::{Site, web};
use basalt_vm::{Answer, Machine, Patience, Vm};
use serde_json::Value;

use crate::image::Image;
use crate::live::Live;
use crate::releases::Releases;

/// A whole boot, or anything that waits for one, on a slow and busy machine.
pub const BOOT: Duration = Duration::from_secs(600);
/// Until a release is brought over and laid out, of which nothing is said on the console.
pub const BROUGHT_OVER: Patience = Patience { overall: BOOT, silence: BOOT };
/// A command that should take seconds.
const COMMAND: Duration = Duration::from_secs(240);
const NO_SITE: &str = "this story has no site";
/// A machine that was told to end.
const END: Duration = Duration::from_secs(180);
/// Between two looks at something that takes long.
const TICK: Duration = Duration::from_secs(1);

/// A running host and the image that it was made from.
pub struct Host {
    /// The machine.
    pub vm: Vm,
    /// What it was booted from.
    pub image: Image,
    /// The story's folder.
    pub folder: PathBuf,
    /// What stands around it, where its story wants that.
    pub site: Option<Site>,
    /// Releases that it can be updated to, where its story wants that.
    pub releases: Option<Releases>,
    /// The live system that it is, where its story wants that.
    pub live: Option<Live>,
}

/// A machine with the image's disk. One processor: a boot hardly uses a second one, two machines
/// run at a time, and where QEMU emulates them, firmware now and then waits for ever after a
/// reboot for its second processor to show up.
pub fn machine(image: &Image) -> Machine {
    Machine::new(&image.disk).cpus(1)
}

impl Host {
    /// Runs a command as root, which must succeed; what it printed.
    ///
    /// # Errors
    /// It failed, or the host did not answer.
    pub fn ok(&mut self, command: &str) -> Result<String> {
        let Answer { code, text } = self.run(command)?;
        ensure!(code == 0, "`{command}` ended with {code}: {text}");
        Ok(text.trim().to_owned())
    }

    /// Runs a command as root, which must fail; what it printed.
    ///
    /// # Errors
    /// It succeeded, or the host did not answer.
    pub fn fails(&mut self, command: &str) -> Result<String> {
        let Answer { code, text } = self.run(command)?;
        ensure!(code != 0, "`{command}` succeeded: {text}");
        Ok(text)
    }

    fn run(&mut self, command: &str) -> Result<Answer> {
        self.up()?;
        Ok(self.vm.shell()?.run(command, COMMAND)?)
    }

    /// Waits until the boot is good.
    ///
    /// # Errors
    /// It never is; the error has what systemd still waits for, and what it last said.
    pub fn passes_the_gate(&mut self) -> Result<()> {
        let Err(error) = self.ok("hostctl gate --deadline 200") else { return Ok(()) };
        let asked = "systemctl list-jobs --no-pager; journalctl -b -p notice -o cat -n 40 _PID=1; \
                     systemctl status --no-pager -n 5 systemd-networkd systemd-udevd nftables";
        let said = self.run(asked).map_or_else(|error| format!("{error:#}"), |answer| answer.text);
        Err(error.context(said))
    }

    /// Waits until somebody can be asked.
    ///
    /// # Errors
    /// The host does not come up.
    pub fn up(&mut self) -> Result<()> {
        Ok(self.vm.shell()?.wait_until_up(BOOT)?)
    }

    /// What `hostctl status` says.
    ///
    /// # Errors
    /// It says nothing that can be read.
    pub fn status(&mut self) -> Result<Value> {
        // Its exit code is a matter of what is wrong with the host.
        let text = self.run("hostctl status --json")?.text;
        serde_json::from_str(&text).with_context(|| format!("`hostctl status --json` said: {text}"))
    }

    /// Compares one value of the status.
    ///
    /// # Errors
    /// It is another one.
    pub fn expect_status(&mut self, key: &str, expected: &str) -> Result<()> {
        let status = self.status()?;
        ensure!(status[key] == expected, "`{key}` is not `{expected}`: {status}");
        Ok(())
    }

    /// Waits until a command succeeds.
    ///
    /// # Errors
    /// It never did; the error has what it printed last.
    pub fn until(&mut self, command: &str) -> Result<()> {
        let script = format!(
            "for i in $(seq 200); do {command} && exit 0; sleep 1; done >/tmp/until 2>&1; \
             tail -5 /tmp/until; exit 1"
        );
        self.ok(&script).with_context(|| format!("`{command}` never succeeded"))?;
        Ok(())
    }

    /// Looks until there is something, and returns it.
    ///
    /// # Errors
    /// There is nothing in the time that a whole boot may take; the error has what was seen last.
    pub fn eventually<T>(
        &mut self,
        what: &str,
        mut look: impl FnMut(&mut Self) -> Result<std::result::Result<T, String>>,
    ) -> Result<T> {
        let end = Instant::now() + BOOT;
        loop {
            match look(self)? {
                Ok(found) => return Ok(found),
                Err(seen) if Instant::now() > end => bail!("{what} never was so: {seen}"),
                Err(_) => sleep(TICK),
            }
        }
    }

    /// Waits until `hostctl workloads` has these and no others, by name, each with its state.
    ///
    /// # Errors
    /// It never does.
    pub fn runs(&mut self, expected: &[(&str, &str)]) -> Result<()> {
        self.eventually(&format!("{expected:?}"), |host| {
            let said = host.run("hostctl workloads --json")?.text;
            let list: Value = serde_json::from_str(&said).unwrap_or_default();
            let word = |one: &Value, key: &str| one[key].as_str().unwrap_or_default().to_owned();
            let found: Vec<_> = list["workloads"]
                .as_array()
                .map(|all| all.iter().map(|one| (word(one, "name"), word(one, "state"))).collect())
                .unwrap_or_default();
            let is_so = list["workloads"].is_array()
                && found.len() == expected.len()
                && found.iter().zip(expected).all(|(one, other)| (&*one.0, &*one.1) == *other);
            Ok(if is_so { Ok(()) } else { Err(said) })
        })
    }

    /// What a web server in the guest serves at this forwarded port; none where nobody answers.
    ///
    /// # Errors
    /// The port is not forwarded.
    pub fn page(&self, port: u16) -> Result<Option<String>> {
        Ok(web::page(self.vm.forwarded(port)?))
    }

    /// What stands around it.
    ///
    /// # Errors
    /// Nothing does.
    pub fn site(&self) -> Result<&Site> {
        self.site.as_ref().context(NO_SITE)
    }

    /// The endpoint that it is told by.
    ///
    /// # Errors
    /// It is told by none.
    pub fn endpoint(&mut self) -> Result<&mut Endpoint> {
        Ok(&mut self.site.as_mut().context(NO_SITE)?.endpoint)
    }

    /// A machine with this one's disk, for when this one has ended.
    ///
    /// # Errors
    /// Its story has no releases.
    pub fn of_releases(&self) -> Result<Machine> {
        self.releases()?.machine(&self.image, self.site()?)
    }

    /// What it can be updated to.
    ///
    /// # Errors
    /// Its story has no releases.
    pub fn releases(&self) -> Result<&Releases> {
        self.releases.as_ref().context("this story has no releases")
    }

    /// Calls `basaltctl`, which must succeed; what it printed.
    ///
    /// # Errors
    /// It failed, or there is no endpoint.
    pub fn ctl(&self, args: &[&str]) -> Result<String> {
        let cmd = self.site()?.endpoint.ctl(args.iter().copied())?;
        Ok(cmd.deadline(BOOT).run()?.stdout_text())
    }

    /// Reboots and waits for the next boot.
    ///
    /// # Errors
    /// It does not come up again.
    pub fn reboot(&mut self) -> Result<()> {
        Ok(self.vm.shell()?.reboot(BOOT)?)
    }

    /// What `hostctl os status` says of a release that was tried.
    ///
    /// # Errors
    /// It says nothing of it.
    pub fn told_of(&mut self, version: &str) -> Result<String> {
        let said = self.ok("hostctl os status")?;
        let line = said.lines().find(|line| line.starts_with(&format!("{version} ")));
        Ok(line.with_context(|| format!("nothing of {version}: {said}"))?.to_owned())
    }

    /// Has it reboot in a moment, once the shell has answered.
    ///
    /// # Errors
    /// The host does not answer.
    pub fn reboots_soon(&mut self) -> Result<()> {
        self.soon("systemctl --no-block reboot")
    }

    /// Cuts its power for a moment, and waits for the next boot.
    ///
    /// # Errors
    /// It does not come up again.
    pub fn loses_power(&mut self) -> Result<()> {
        self.vm.qmp().reset()?;
        Ok(self.vm.shell()?.wait_for_reboot(BOOT)?)
    }

    /// Shuts it down.
    ///
    /// # Errors
    /// It does not end.
    pub fn powers_off(&mut self) -> Result<()> {
        self.soon("systemctl --no-block poweroff")?;
        Ok(self.vm.wait_for_end(END)?)
    }

    /// Has it do in a moment what would otherwise end the shell before it answers.
    ///
    /// # Errors
    /// The host does not answer.
    pub fn soon(&mut self, command: &str) -> Result<()> {
        self.ok(&format!("(sleep 3; {command}) >/dev/null 2>&1 &"))?;
        Ok(())
    }

    /// Finds the shell of this boot again after the host has rebooted by itself, once or more.
    ///
    /// # Errors
    /// It does not come up.
    pub fn catches_up(&mut self) -> Result<()> {
        while self.run("true").is_err() {
            self.vm.shell()?.wait_for_reboot(BOOT)?;
        }
        Ok(())
    }

    /// Waits until the console shows all of these, in this order.
    ///
    /// # Errors
    /// It does not; the error has the console's last lines.
    pub fn console_says(&mut self, texts: &[&str]) -> Result<()> {
        for text in texts {
            self.vm.wait_for_console(text, Patience::BOOT)?;
        }
        Ok(())
    }

    /// That the machine is still on, and goes on with the boot that it is in.
    ///
    /// # Errors
    /// It ended, or rebooted.
    pub fn stays_up(&mut self, time: Duration) -> Result<()> {
        self.up()?;
        let boot = self.boot_id()?;
        if self.vm.ended_within(time)? {
            bail!("the machine ended");
        }
        let now = self.boot_id()?;
        ensure!(boot == now, "the machine rebooted");
        Ok(())
    }

    fn boot_id(&mut self) -> Result<String> {
        self.ok("cat /proc/sys/kernel/random/boot_id")
    }
}
