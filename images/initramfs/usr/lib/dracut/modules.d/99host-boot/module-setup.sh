#!/bin/bash
# What Basalt adds to the initramfs, which only finds and mounts the root: the
# check that one disk only is the one we came from, the mending of half a
# superblock, and what happens when the boot fails or hangs here. Its name sorts
# after `base`, whose release file it replaces, and after the modules out of which
# it takes what the root needs not.

check() {
	return 255
}

depends() {
	echo systemd-initrd systemd-emergency
}

install() {
	inst_multiple cat cut debugfs grep journalctl ls mkdir mount rm sed sleep systemctl timeout touch tr udevadm
	inst_script /usr/lib/basalt/boot-failed /usr/lib/basalt/boot-failed
	inst_script /usr/lib/basalt/may-reboot /usr/lib/basalt/may-reboot
	inst_script /usr/lib/basalt/mend-superblock /usr/lib/basalt/mend-superblock
	inst_script /usr/lib/basalt/what-failed /usr/lib/basalt/what-failed
	inst_simple /usr/lib/udev/rules.d/90-basalt.rules
	inst_simple "$systemdsystemunitdir/emergency.service.d/10-basalt.conf"
	inst_script "$moddir/check-root.sh" /usr/lib/basalt/check-root
	inst_simple "$moddir/basalt-check-root.service" "$systemdsystemunitdir/basalt-check-root.service"
	for unit in basalt-trial-deadline.timer basalt-trial-deadline.service; do
		inst_simple "$moddir/$unit" "$systemdsystemunitdir/$unit"
	done
	inst_simple "$moddir/manager.conf" /usr/lib/systemd/system.conf.d/90-basalt-initramfs.conf
	inst_simple "$moddir/mend-superblock.conf" "$systemdsystemunitdir/systemd-fsck-root.service.d/10-basalt.conf"
	inst_simple "$moddir/trigger.conf" "$systemdsystemunitdir/systemd-udev-trigger.service.d/10-basalt.conf"
	$SYSTEMCTL -q --root "$initdir" enable basalt-check-root.service basalt-trial-deadline.timer

	# The host's name until it has one of its own.
	printf 'ID=basalt\nNAME="Basalt initramfs"\nDEFAULT_HOSTNAME=basalt\n' \
		>"$initdir/usr/lib/initrd-release"

	# Each costs a process; devtmpfs makes the nodes, and nothing here lives in /var.
	$SYSTEMCTL -q --root "$initdir" mask kmod-static-nodes.service systemd-sysctl.service \
		systemd-modules-load.service systemd-tmpfiles-setup.service \
		systemd-tmpfiles-setup-dev-early.service systemd-tmpfiles-setup-dev.service
}
