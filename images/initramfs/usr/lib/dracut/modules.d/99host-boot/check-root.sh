#!/bin/sh
# Ends when exactly one partition is the root of the disk the loader came from
# (udev marks it); until then names all of them on every console, and a file says
# to the deadline of a trial that a person is waited for.
waits=/run/basalt-two-disks

# Partitions that udev marks as that root, as kernel names.
matches() {
	for record in $(grep -l '^E:ID_PART_GPT_AUTO_ROOT=1$' /run/udev/data/b* 2>/dev/null); do
		number=${record##*/b}
		sed -n 's/^DEVNAME=//p' "/sys/dev/block/$number/uevent"
	done
}

# The disk of a partition, with what tells it from another: model, serial, path.
describe() {
	udevadm info --query=property "/dev/$1" |
		sed -n 's/^\(ID_MODEL\|ID_SERIAL\|ID_PATH\)=/ /p' | tr -d '\n'
}

say() {
	for console in $(cat /sys/class/tty/console/active); do
		printf 'basalt: %s\r\n' "$*" >"/dev/$console"
	done
	echo "$*"
}

while :; do
	udevadm settle --timeout=30
	set -- $(matches)
	[ $# -gt 1 ] || exec rm -f "$waits"
	touch "$waits"
	say "two disks claim to be the one this machine booted from:"
	for partition; do
		say "    /dev/$partition$(describe "$partition")"
	done
	say "the boot waits. hint: take one of them away; the boot then goes on by itself"
	sleep 15
done
