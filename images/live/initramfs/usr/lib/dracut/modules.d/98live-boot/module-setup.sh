#!/bin/bash
# What a live system's initrd has beside the initramfs of a disk: a network, the program
# that fetches the root, and the units that mount it. Its name sorts before `host-boot`,
# which takes out of all of it what no boot needs.

check() {
	return 255
}

depends() {
	echo systemd-initrd host-boot
}

installkernel() {
	# Every wired card, and those of virtual machines; packets, which DHCP sends raw.
	instmods '=drivers/net/ethernet' '=drivers/net/phy' '=drivers/net/mdio' '=drivers/net/hyperv' \
		'=drivers/net/vmxnet3' virtio_net xen-netfront af_packet
}

install() {
	inst_multiple modprobe mount udevadm
	inst_binary /usr/lib/basalt/basalt-live-boot
	inst_simple /usr/lib/basalt/live.json
	inst_simple /etc/ssl/certs/ca-certificates.crt

	# Addresses, by DHCP or by `ip=` on the kernel command line. Without its socket: what the kernel
	# tells there while networkd is stopped for the real root would start it once more, it would be
	# killed with all else of the initrd, and the real root would take it for running.
	inst_multiple "$systemdutildir/systemd-networkd" "$systemdutildir/systemd-network-generator" \
		"$systemdsystemunitdir/systemd-networkd.service" \
		"$systemdsystemunitdir/systemd-network-generator.service" \
		"$systemdnetwork/99-default.link"
	inst_multiple -o "$tmpfilesdir/systemd-network.conf"
	inst_simple "$moddir/80-live.network" "$systemdnetwork/80-live.network"
	# networkd runs as a user of its own.
	local file
	for file in passwd group; do
		grep -qs '^systemd-network:' "$initdir/etc/$file" ||
			grep '^systemd-network:' "${dracutsysrootdir-}/etc/$file" >>"$initdir/etc/$file"
	done

	# A disc has a name only once it was looked at as one.
	inst_binary /usr/lib/udev/cdrom_id
	inst_simple /usr/lib/udev/rules.d/60-cdrom_id.rules

	# Names of hardware, which no boot needs and which take more memory than any driver.
	rm -f "$initdir/usr/lib/udev/hwdb.bin" "$initdir/etc/udev/hwdb.bin"

	for file in basalt-live-root.service basalt-live-etc.service run-live-lower.mount sysroot.mount; do
		inst_simple "$moddir/$file" "$systemdsystemunitdir/$file"
	done
	mkdir -p "$initdir$systemdsystemunitdir/initrd-root-fs.target.requires"
	for file in basalt-live-etc.service sysroot.mount; do
		ln -s "../$file" "$initdir$systemdsystemunitdir/initrd-root-fs.target.requires/$file"
	done
}
