"""The appliance's start without what most disks do not need: edits of the host's own script and module list.

libguestfs starts RAID, LVM and Windows dynamic disks at every launch, whether
there are any or not, and lets udev look at every device of the machine. Here RAID
and dynamic disks are started when udev has seen a member; logical volumes are
activated on demand by the session, which looks for them anyway.
"""

from __future__ import annotations

import re

from guestrepair.appliance.reseeding import NAME as RESEED

VERSION = 5
"""Part of the cache's key: to be raised with every change to the edits."""

# A name found in udev's database, or no database to look in: then all is done as in the original.
_SHOWS = r"""
shows() {
    local pattern=$1
    set -- /run/udev/data/b*
    [ ! -e "$1" ] || grep -Eqs "$pattern" "$@"
}
"""
WAIT, WAITING = "guestrepair_wait=1", "guestrepair: ready to be saved"
"""On the kernel's command line: wait for disks, as a machine that is to be saved. And what it says then."""

# What the first use of a kind of disk would take is done beforehand, and is part of what is saved. A resumed
# machine goes on in the loop. It finds the disks that it was started with one after another, so that the
# kernel calls them /dev/sda and so on in their order. Time, and random numbers, are those of when it was
# saved, and so are the first bytes of hwrng: they lie ready in the driver. A machine that cannot have new
# ones is not saved.
_WAIT = rf"""
if [[ $cmdline == *{WAIT}* ]]; then
    modprobe -a dm_mod dm_crypt raid1 ext4 xfs btrfs vfat nls_cp437 nls_ascii nls_utf8 >/dev/null 2>&1
    guestfsd --help >/dev/null 2>&1
    lvm version >/dev/null 2>&1
    reseed() {{ dd if=/dev/hwrng of=/dev/urandom bs=64 count=8 status=none && /{RESEED} </dev/urandom; }}
    reseed || exit
    exec {{pause}}<> <(:)
    sync
    echo {WAITING}
    disk=0 known=/sys/class/scsi_device
    while true; do
        for host in /sys/class/scsi_host/host*; do echo "0 $disk 0" > $host/scan; done
        found=($known/*:0:$disk:0)
        if [ -e "${{found[0]}}" ]; then
            until [ -e "${{found[0]}}/device/block" ]; do read -rt 0.01 -u $pause; done
            disk=$((disk + 1))
        elif [ $disk -gt 0 ]; then
            break
        else
            read -rt 0.05 -u $pause
        fi
    done
    date -s "@$(</sys/class/rtc/rtc0/since_epoch)"
    reseed || exit
    machine_id=$(</proc/sys/kernel/random/uuid)
    echo ${{machine_id//-/}} > /etc/machine-id
    udevadm settle --timeout=600
fi
"""
_RAID = r"ID_FS_TYPE=.*_raid_member|ID_FS_AMBIVALENT"
# Partition types of the Logical Disk Manager: MBR 0x42, and GPT's for its metadata and data.
_DYNAMIC = r"TYPE=0x42|TYPE=5808c8aa|TYPE=af9b60a0"
# In place of systemd-tmpfiles: what RAID, LVM and LUKS write to, and the two nodes that load their module.
_PLACES = (
    r"mkdir -p /run/lvm /run/lock/lvm /run/cryptsetup /run/mdadm; "
    r"mknod /dev/btrfs-control c 10 234; mknod /dev/loop-control c 10 237"
)
_TRIGGERS = " ".join(f"--subsystem-match={name}" for name in ("block", "virtio", "virtio-ports"))

# Kernels since 5.0 have no scheduler of that name: they look for a module, twice, and refuse.
# libguestfs 1.54 no longer has the line.
_SCHEDULER = r"for f in /sys/block/\S+/queue/scheduler; do .* done"

_EDITS: tuple[tuple[str, str], ...] = (
    # pattern of exactly one whole line; what stands in its place (\g<0>: the line itself)
    (r"machine_id=\$\(dd .*\)", r"machine_id=$(</proc/sys/kernel/random/uuid); machine_id=${machine_id//-/}"),
    (r"kmod static-nodes .*", ":"),
    (r"systemd-tmpfiles .*--create.*", _PLACES),
    (r"udevadm trigger", rf"\g<0> {_TRIGGERS}"),
    (r"udevadm settle.*", rf"\g<0>{_SHOWS}{_WAIT}"),
    (_SCHEDULER, ":"),
    (r"ip addr add 127.*", ":"),
    (r"ip link set dev lo up", ":"),
    (r"mdadm -As .*--no-degraded.*", rf"if shows '{_RAID}'; then \g<0>; fi"),
    (r"lvmetad", ":"),
    (r"lvm pvscan .*", ":"),
    (r"mdadm -As .*--run.*", rf"if shows '{_RAID}'; then \g<0>; udevadm settle; fi"),
    (r"ldmtool create all", rf"if shows '{_DYNAMIC}'; then \g<0>; fi"),
)
# Modules that supermin loads from the initrd for machines of other kinds. The appliance's disks are on
# virtio-scsi and it has no network; udev finds the modules on the appliance's disk should one be needed.
_UNUSED = (
    b"libnvdimm", b"nfit", b"nd_btt", b"nd_pmem", b"nd_virtio", b"virtio_pmem", b"libata", b"ata_piix",
    b"failover", b"net_failover", b"virtio_net", b"virtio_balloon", b"virtio_input", b"virtio_mem",
    b"virtio_mmio", b"fuse", b"virtiofs", b"crc-itu-t", b"crc7",
)  # fmt: skip
_MODULE_LIST = re.compile(rb"(?<=0modules\0)\0*((?:[\w-]+\.ko\n)+)")


def with_fewer_modules(initrd: bytes) -> bytes:
    """The initrd (cpio, not compressed) with unused names in its module list made unknown, which are skipped.

    Nothing else moves; an initrd without such a list is given back as it is.
    """
    found = _MODULE_LIST.search(initrd)
    if found is None:
        return initrd
    names = [
        b"-" * len(name) if name.removesuffix(b".ko") in _UNUSED else name for name in found[1].split(b"\n")
    ]
    return initrd[: found.start(1)] + b"\n".join(names) + initrd[found.end(1) :]


def trimmed(script: str) -> str | None:
    """The script with all edits made; None when one of them does not fit exactly once (another release)."""
    for pattern, replacement in _EDITS:
        script, count = re.subn(rf"^{pattern}$", replacement, script, flags=re.MULTILINE)
        if count != 1 and (count, pattern) != (0, _SCHEDULER):
            return None
    return script
