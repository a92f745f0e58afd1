"""Reads kickstarts as pykickstart does, and prints what they say as JSON, by their file names.

A file's first line `# version=F43` says of which Anaconda it is; RHEL9 without one.
"""

import json
import os
import sys
import types
import warnings

# Only to fetch files, which no kickstart here does.
sys.modules["requests"] = types.ModuleType("requests")
sys.modules["requests.exceptions"] = types.ModuleType("requests.exceptions")
sys.modules["requests.exceptions"].SSLError = OSError
sys.modules["requests.exceptions"].RequestException = OSError

from pykickstart import constants  # noqa: E402
from pykickstart.parser import KickstartParser, preprocessFromStringToString  # noqa: E402
from pykickstart.version import makeVersion  # noqa: E402

warnings.simplefilter("ignore")

KINDS = {
    constants.KS_SCRIPT_PRE: "pre",
    constants.KS_SCRIPT_PREINSTALL: "pre-install",
    constants.KS_SCRIPT_POST: "post",
    constants.KS_SCRIPT_ONERROR: "on-error",
    constants.KS_SCRIPT_TRACEBACK: "on-error",
}
CLEAR = {None: "none", 0: "linux", 1: "all", 2: "none", 3: "list"}
END = {constants.KS_REBOOT: "reboot", constants.KS_SHUTDOWN: "poweroff", constants.KS_WAIT: "halt"}
DISPLAY = {0: "cmdline", 1: "graphical", 2: "text"}
SELINUX = {0: "disabled", 1: "enforcing", 2: "permissive"}
FIRSTBOOT = {0: "enable", 1: "disable", 2: "reconfig"}


def when(command, value):
    """The value where the command was seen."""
    return value() if command.seen else None


def disk(name):
    return name[len("/dev/"):] if name.startswith("/dev/") else name


def disks(names):
    return [disk(name) for name in names]


def password(data):
    if not data.password:
        return None
    return ["crypted" if data.isCrypted else "plain", data.password]


def file_system(data):
    return [data.fstype or None, data.label or None, data.fsopts or None,
            data.mkfsopts or None, not data.format]


def part(data):
    return {
        "mount": data.mountpoint, "size": data.size or None, "max": data.maxSizeMB or None,
        "grow": bool(data.grow), "resize": bool(data.resize), "on_disk": disk(data.disk) or None,
        "on_part": data.onPart or None, "recommended": bool(data.recommended),
        "format": file_system(data),
    }


def array(name):
    """Up to RHEL 10 `md0` is kept as `0`."""
    return f"md{name}" if name.isdigit() else name


def raid(data):
    return {
        "mount": data.mountpoint, "device": array(data.device), "level": data.level or None,
        "members": data.members, "spares": data.spares, "existing": bool(data.preexist),
        "chunk": data.chunk_size or None, "format": file_system(data),
    }


def pairs(text):
    """Options of a bond or bridge, split as Anaconda does."""
    parts = text.split(";" if ";" in text else ",") if text else []
    return [part.split("=", 1) for part in parts]


def names(text):
    return [name.strip() for name in text.split(",") if name] if text else []


def device(name):
    """An address in small letters: it is compared with what the kernel says."""
    return name.lower() if name.count(":") == 5 else name or "link"


def protocol(name):
    """Whoever answers BOOTP answers DHCP."""
    return "dhcp" if name == "bootp" else name


def network(data):
    return {
        "device": device(data.device), "bootproto": protocol(data.bootProto), "ip": data.ip or None,
        "netmask": data.netmask or None, "gateway": data.gateway or None,
        "nameserver": names(data.nameserver),
        "ipv6": data.ipv6 if data.ipv6 not in ("", "auto") else None, "ipv6gateway": data.ipv6gateway or None,
        "noipv4": bool(data.noipv4), "noipv6": bool(data.noipv6), "nodns": bool(data.nodns),
        "nodefroute": bool(data.nodefroute), "mtu": data.mtu or None, "onboot": bool(data.onboot),
        "activate": data.activate, "bondslaves": names(data.bondslaves),
        "bondopts": pairs(data.bondopts), "bridgeslaves": names(data.bridgeslaves),
        "bridgeopts": pairs(data.bridgeopts), "vlanid": data.vlanid or None,
        "interfacename": data.interfacename or None,
    }


def user(data):
    return {
        "name": data.name, "uid": data.uid, "gid": data.gid, "groups": data.groups,
        "homedir": data.homedir or None, "shell": data.shell or None, "gecos": data.gecos or None,
        "lock": data.lock, "password": password(data),
    }


def time_sources(ks):
    found = []
    for data in ks.timesource.dataList():
        if data.ntp_disable:
            found.append(["disable", ""])
        elif data.ntp_server:
            found.append(["server", data.ntp_server])
        else:
            found.append(["pool", data.ntp_pool])
    if getattr(ks.timezone, "nontp", False):
        found.append(["disable", ""])
    found += [["server", name] for name in getattr(ks.timezone, "ntpservers", [])]
    return sorted(found)


def script(data):
    return {
        "kind": KINDS[data.type], "interpreter": data.interp, "chroot": data.inChroot,
        "error_on_fail": data.errorOnFail, "log": data.logfile, "body": data.script,
    }


def display(data):
    """Text that asks nothing is what `cmdline` is."""
    shown = DISPLAY[data.displayMode]
    return "cmdline" if shown == "text" and data.nonInteractive else shown


def layout(ks):
    return {
        "clearpart": when(ks.clearpart, lambda: {
            "clear": CLEAR[ks.clearpart.type], "list": disks(ks.clearpart.devices),
            "drives": disks(ks.clearpart.drives), "initlabel": ks.clearpart.initAll,
        }),
        "zerombr": ks.zerombr.seen,
        "ignoredisk": when(ks.ignoredisk, lambda: {
            "drives": disks(ks.ignoredisk.ignoredisk), "only_use": disks(ks.ignoredisk.onlyuse),
        }),
        "autopart": when(ks.autopart, lambda: {"noswap": ks.autopart.noswap}),
        "reqpart": when(ks.reqpart, lambda: {"add_boot": ks.reqpart.addBoot}),
        "part": [part(data) for data in ks.partition.dataList()],
        "raid": [raid(data) for data in ks.raid.dataList()],
        "bootloader": when(ks.bootloader, lambda: {
            "append": ks.bootloader.appendLine.split(), "timeout": ks.bootloader.timeout,
            "boot_drive": disk(ks.bootloader.bootDrive) or None,
            "leavebootorder": ks.bootloader.leavebootorder,
        }),
    }


def system(ks):
    hostnames = [data.hostname for data in ks.network.dataList() if data.hostname]
    return {
        "ostreesetup": when(ks.ostreesetup, lambda: [
            ks.ostreesetup.osname, ks.ostreesetup.remote, ks.ostreesetup.url, ks.ostreesetup.ref]),
        "hostname": hostnames[-1] if hostnames else None,
        "network": [network(data) for data in ks.network.dataList() if not data.is_name],
        "timezone": when(ks.timezone, lambda: [ks.timezone.timezone or None, ks.timezone.isUtc]),
        "timesource": time_sources(ks),
        "keyboard": when(ks.keyboard, lambda: [
            ks.keyboard.vc_keymap or ks.keyboard._keyboard or None, ks.keyboard.x_layouts]),
        "lang": when(ks.lang, lambda: ks.lang.lang),
        "rootpw": when(ks.rootpw, lambda: [password(ks.rootpw), ks.rootpw.lock]),
        "user": [user(data) for data in ks.user.dataList()],
        "group": [[data.name, data.gid] for data in ks.group.dataList()],
        "sshkey": [[data.username, data.key] for data in ks.sshkey.dataList()],
        "services": [sorted(ks.services.enabled), sorted(ks.services.disabled)],
        "firewall": when(ks.firewall, lambda: {
            "enabled": ks.firewall.enabled, "ports": ks.firewall.ports,
            "services": sorted(ks.firewall.services), "removed": ks.firewall.remove_services,
            "trust": ks.firewall.trusts, "defaults": ks.firewall.use_system_defaults,
        }),
        "selinux": when(ks.selinux, lambda: SELINUX.get(ks.selinux.selinux)),
    }


def installer(ks):
    return {
        "end": when(ks.reboot, lambda: [END[ks.reboot.action], ks.reboot.eject]),
        "display": when(ks.displaymode, lambda: display(ks.displaymode)),
        "logging": when(ks.logging, lambda: [ks.logging.host or None, ks.logging.port or None]),
        "updates": when(ks.updates, lambda: ks.updates.url),
        "eula": bool(ks.eula.agreed),
        "firstboot": when(ks.firstboot, lambda: FIRSTBOOT.get(ks.firstboot.firstboot)),
        "scripts": [script(data) for data in ks.scripts],
        "certificates": [[data.filename, data.dir, data.cert] for data in ks.certificates],
    }


class Parser(KickstartParser):
    """Remembers which `network` says the host's name alone, and so sets up no device."""

    def handleCommand(self, lineno, args):
        data = super().handleCommand(lineno, args)
        if args[0] == "network":
            data.is_name = len(args) > 1 and all(arg.startswith("--hostname=") for arg in args[1:])
        return data


def read(path):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    first = text.split("\n", 1)[0].lstrip("# ")
    version = first[len("version="):].strip() if first.startswith("version=") else "RHEL9"
    ks = makeVersion(version)
    try:
        text = preprocessFromStringToString(text).decode("utf-8")
        parser = Parser(ks)
        parser.readKickstartFromString(text)
    # Whatever it is, also what pykickstart itself stumbles over: it does not take the file.
    except Exception as error:  # noqa: BLE001
        return {"refused": f"{type(error).__name__}: {error}"}
    return {"said": {**layout(ks), **system(ks), **installer(ks)}}


def main(folder):
    os.chdir(folder)
    files = sorted(name for name in os.listdir(".") if name.endswith(".ks"))
    json.dump({name: read(name) for name in files}, sys.stdout, indent=1)


main(sys.argv[1])
