"""The rules of this analyzer and their documentation."""

from __future__ import annotations

from guestrepair.analyzers.base import Rule
from guestrepair.model import Safety, Severity

_ERROR, _WARNING, _NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE
_SAFE, _REVIEW, _MANUAL = Safety.SAFE, Safety.REVIEW, Safety.MANUAL
_GENERATOR = "systemd-fstab-generator(8)"
_FSTAB = "systemd.mount(5), FSTAB"

MISSING = Rule(
    name="fstab/missing",
    summary="there is no /etc/fstab",
    severities=(_ERROR, _NOTE),
    safeties=(_REVIEW, _MANUAL),
    what="/etc/fstab is not there, is a directory, or holds nothing but NUL bytes, as after a write that was "
    "cut off.",
    why="systemd mounts nothing and says nothing: the root filesystem stays read-only, /boot, /home and "
    "swap are absent. Where the root filesystem is mounted for writing without a table (rw on the kernel's "
    "command line, a discoverable partition, a kernel given from outside), it is a note.",
    repair="A backup beside it (/etc/fstab.*, /etc/fstab-) whose sources are all on the disks is copied; "
    "without one the table is written anew from the filesystems of which evidence says where they "
    "belong.",
    example="/etc/fstab was moved away by a failed configuration run; /etc/fstab.orig is still there.",
    sources=(_GENERATOR, "systemd-remount-fs.service(8)"),
)
MALFORMED_LINE = Rule(
    name="fstab/malformed-line",
    summary="a line does not parse",
    severities=(_ERROR,),
    safeties=(_SAFE, _MANUAL),
    what="A line has fewer than three fields, a frequency or pass number that is no number, pasted output "
    "of blkid(8), a blank inside a field, or one field left out so that the next ones stand in its place.",
    why="mount(8) drops such a line, and systemd drops it or mounts something else than was meant; tools "
    "that parse the file strictly fail as a whole.",
    repair="Extra words are dropped or joined, exchanged ones put back and those left out put in where one "
    "reading makes sense, else the line is commented out. "
    "The line of the root filesystem is rebuilt and never commented out.",
    example='UUID="0a3c…" TYPE="ext4" /data ext4 defaults 0 2 becomes UUID="0a3c…" /data ext4 defaults 0 2',
    sources=("fstab(5)", "libmount, mnt_parse_table_line()", "getmntent(3)"),
)
BAD_ENCODING = Rule(
    name="fstab/bad-encoding",
    summary="the file has bytes that its readers take for parts of fields",
    severities=(_ERROR, _WARNING),
    safeties=(_SAFE,),
    what="The file starts with a byte-order mark, has DOS line ends or NUL bytes or, outside comments, "
    "no-break blanks, is UTF-16, or lacks the newline at its end.",
    why="The mark becomes part of the first source, a carriage return part of the last option or type, "
    "and a NUL ends the line. Without the last newline the next line that a tool appends is joined to "
    "the last.",
    repair="Exactly those bytes are taken out, or the newline is added; UTF-16 is written as UTF-8.",
    example="fstab edited on Windows: every line ends in CR LF.",
    sources=("fstab(5)", "getmntent(3)"),
)
SOURCE_NOT_FOUND = Rule(
    name="fstab/source-not-found",
    summary="boot waits for a device that is on none of the disks",
    severities=(_ERROR, _WARNING),
    safeties=(_SAFE, _REVIEW, _MANUAL),
    what="A required line, or an enabled mount or swap unit, names a UUID, label or path that no given "
    "disk has.",
    why="systemd waits 90 seconds for the device, then stops in emergency mode; a wrong line for / leaves "
    "the root read-only. It is an error when the disks explain it or --all-disks-attached is given; "
    "otherwise the device may be on a disk that was not given, and it is a warning.",
    repair="The source is rewritten where exactly one filesystem fits: the type agrees, no other line uses "
    "it, and there is positive evidence (a near miss of the UUID, the ext superblock's last mount, "
    "label, partition type, the boot loader, content, an older fstab, what the "
    "initramfs is built with). Else nofail and a short device "
    "timeout, where the system does not need the mount. / and /usr are only ever rewritten.",
    example="UUID=8f3b… for /boot/efi is on none of the disks; /dev/sda2 (vfat) holds EFI/ and fits.",
    sources=(_FSTAB, "fstab(5)", "ext4(5)", "Discoverable Partitions Specification"),
)
SOURCE_NOT_FOUND_OPTIONAL = Rule(
    name="fstab/source-not-found-optional",
    summary="a device that boot does not wait for is not there",
    severities=(_NOTE,),
    what="A line with nofail, noauto or x-systemd.automount names a device that is on none of the given "
    "disks.",
    why="Boot goes on without it, as was asked for.",
    repair="None.",
    example="/dev/vdb /mnt auto defaults,nofail 0 2 on an image without its data disk.",
    sources=(_FSTAB,),
)
DEVICE_NAME = Rule(
    name="fstab/device-name",
    summary="a line names a disk as one machine's kernel does",
    severities=(_WARNING, _ERROR, _NOTE),
    safeties=(_SAFE, _REVIEW, _MANUAL),
    what="The source is /dev/sda1, /dev/vda1, /dev/xvda1, /dev/nvme0n1p1 or the like.",
    why="Such names change with the controller, the hypervisor and the order of the disks: the guest "
    "boots here and not there. It is an error when no such device can be meant and the disks show "
    "which one was.",
    repair="The UUID of the filesystem that it must mean: the disk's place in the set and the partition "
    "number decide, not the name that the disk has here. With several disks the repair asks for "
    "review.",
    example="/dev/vda2 / ext4 defaults 0 1 becomes UUID=5f1d… / ext4 defaults 0 1",
    sources=("fstab(5)", "mount(8), Indicating the device and filesystem"),
)
WRONG_TAG = Rule(
    name="fstab/wrong-tag",
    summary="the value belongs to another tag, or differs in case",
    severities=(_ERROR,),
    safeties=(_SAFE,),
    what="UUID= holds a partition's UUID, or that of the LUKS container, physical volume or array around "
    "the filesystem; a tag is missing or not in capitals; upper and lower case of the value differ.",
    why="udev's links in /dev/disk/by-* are named exactly: FAT serial numbers in capitals, all other "
    "UUIDs in small letters. Any other spelling is never found.",
    repair="The right tag and spelling are written.",
    example="UUID=5f1d-c103 becomes UUID=5F1D-C103",
    sources=(
        "mount(8), Indicating the device and filesystem",
        "udev, 60-persistent-storage.rules",
        _GENERATOR,
    ),
)
AMBIGUOUS_SOURCE = Rule(
    name="fstab/ambiguous-source",
    summary="several filesystems carry the UUID or label",
    severities=(_ERROR,),
    safeties=(_MANUAL,),
    what="Two filesystems of the given disks have the identifier that a required line names, as after "
    "cloning a disk.",
    why="Which of them is mounted depends on which one udev sees last.",
    repair="By hand: detach the copy or give it another UUID.",
    example="A disk and its clone attached to one guest.",
    sources=("udev(7), SYMLINK and link_priority",),
)
WRONG_SOURCE = Rule(
    name="fstab/wrong-source",
    summary="a line names another mount point's filesystem",
    severities=(_ERROR,),
    safeties=(_SAFE,),
    what="The source is on the disks, but it is the filesystem of another mount point: two lines were "
    "exchanged, or /home, /var, /boot or /usr holds something of another kind while its own "
    "filesystem is unused.",
    why="The mount succeeds or fails, and in both cases the system finds the wrong files there.",
    repair="The source is rewritten to the filesystem for which the evidence speaks.",
    example="The UUIDs of /home and /var were exchanged.",
    sources=("hier(7)", "ext4(5)"),
)
WRONG_TYPE = Rule(
    name="fstab/wrong-type",
    summary="the type is not what is on the disk",
    severities=(_ERROR,),
    safeties=(_SAFE, _MANUAL),
    what="The third field names another type than blkid(8) sees on the device. auto, and names for one "
    "driver, are no fault.",
    why="The kernel refuses the mount: wrong fs type, bad option, bad superblock.",
    repair="The type that is there.",
    example="UUID=… /data ext4 … where the filesystem is xfs.",
    sources=("mount(8), -t", "blkid(8)"),
)
UNSUPPORTED_TYPE = Rule(
    name="fstab/unsupported-type",
    summary="no kernel of the guest has a driver for the type",
    severities=(_ERROR,),
    safeties=(_MANUAL,),
    what="No installed kernel lists the driver in modules.dep or modules.builtin, or modprobe.d blocks it.",
    why="The mount of a required line fails: unknown filesystem type.",
    repair="By hand: install the kernel's package with the driver, or unblock it.",
    example="install vfat /bin/true in /etc/modprobe.d, and /boot/efi is vfat.",
    sources=("depmod(8)", "modprobe.d(5)"),
)
BAD_OPTION = Rule(
    name="fstab/bad-option",
    summary="an option that the filesystem refuses",
    severities=(_ERROR,),
    safeties=(_SAFE, _MANUAL),
    what="An option of another filesystem, a misspelled one, a value that is not allowed, a btrfs "
    "subvolume that is not there, a subvolid of none or of another than subvol, a swap priority that is no "
    "number, an option that the guest's kernels no longer have.",
    why="The kernel refuses the whole mount for one unknown option.",
    repair="The option is corrected where one correction is near, else left out.",
    example="errors=remount-ro on xfs; defualts; subvol=@hom",
    sources=(
        "Linux Documentation/filesystems/{ext4,vfat,btrfs}.rst, Documentation/admin-guide/xfs.rst",
        "mount(8), Filesystem-specific mount options",
        "swapon(8)",
    ),
)
TARGET_MISSING = Rule(
    name="fstab/target-missing",
    summary="the mount point is not there, or is no directory",
    severities=(_WARNING, _ERROR),
    safeties=(_SAFE, _MANUAL),
    what="The directory of a required line does not exist, or something else has its name.",
    why="systemd makes a missing directory, other inits fail; a file in its place stops the mount "
    "everywhere.",
    repair="The directory is made. What stands in its place is for a person to judge.",
    example="/srv/data is in fstab, and was removed while it was not mounted.",
    sources=("systemd.mount(5), DirectoryMode=",),
)
DUPLICATE_TARGET = Rule(
    name="fstab/duplicate-target",
    summary="two required lines have one mount point",
    severities=(_ERROR,),
    safeties=(_SAFE, _MANUAL),
    what="Two lines that boot waits for name the same mount point.",
    why="systemd takes the first one and reports an error; mount -a stacks one over the other.",
    repair="A line that repeats the first (same device, type and options) is commented out; otherwise a "
    "person decides.",
    example="Two lines for /boot after a restored backup was appended.",
    sources=(_GENERATOR,),
)
ORDER = Rule(
    name="fstab/order",
    summary="a mount point comes before the one above it",
    severities=(_WARNING,),
    safeties=(_SAFE, _MANUAL),
    what="/a/b stands before /a.",
    why="mount -a goes line by line: /a then hides /a/b. systemd orders mounts by itself.",
    repair="The lines concerned change places, parents first.",
    example="/var/log before /var",
    sources=("mount(8), -a", "systemd.mount(5), Automatic Dependencies"),
)
RESERVED_TARGET = Rule(
    name="fstab/reserved-target",
    summary="a block device is mounted over /proc, /sys, /dev or /run",
    severities=(_WARNING,),
    safeties=(_SAFE,),
    what="A line mounts a device on a directory that the kernel and systemd fill.",
    why="It hides what the system needs to run.",
    repair="The line is commented out.",
    example="/dev/sdb1 /run ext4 defaults 0 0",
    sources=("file-hierarchy(7)", "systemd, src/shared/mount-setup.c"),
)
PASSNO = Rule(
    name="fstab/passno",
    summary="a pass number that does nothing, or a root that is not checked first",
    severities=(_NOTE,),
    safeties=(_REVIEW, _MANUAL),
    what="The sixth field is above 0 for btrfs, xfs, swap, a network or bind mount, or is not 1 for an ext "
    "root.",
    why="fsck has nothing to do for the former; the root filesystem is to be checked before the others.",
    repair="0, or 1 for the root.",
    example="UUID=… /data xfs defaults 0 2",
    sources=("fstab(5), The sixth field", "fsck.xfs(8)", "fsck.btrfs(8)"),
)
NETDEV = Rule(
    name="fstab/netdev",
    summary="a network mount that nothing marks as one",
    severities=(_WARNING,),
    safeties=(_SAFE,),
    what="A filesystem that comes over the network, of a type that systemd does not know for such, lacks "
    "_netdev.",
    why="It is mounted before the network is up, and fails.",
    repair="_netdev is added.",
    example="s3fs#bucket /mnt/s3 fuse.s3fs allow_other 0 0",
    sources=("systemd.mount(5), _netdev", "systemd, fstype_is_network()"),
)
BIND_SOURCE = Rule(
    name="fstab/bind-source",
    summary="the source of a bind mount, an image or a swap file is not there",
    severities=(_ERROR,),
    safeties=(_SAFE, _MANUAL),
    what="A required line names a directory or file of the guest that does not exist.",
    why="The mount, or the swap area, fails, and boot with it.",
    repair="nofail, where the system does not need the mount; otherwise by hand.",
    example="/swapfile none swap sw 0 0 after the file was deleted.",
    sources=("mount(8), Bind mount operation; Loop-device support", "swapon(8)"),
)
CRYPTTAB = Rule(
    name="fstab/crypttab",
    summary="a mapped device that nothing maps, or an encrypted container that is not there",
    severities=(_ERROR, _WARNING),
    safeties=(_SAFE, _REVIEW, _MANUAL),
    what="/dev/mapper/NAME is neither a logical volume nor in /etc/crypttab; or crypttab names a container "
    "that is on none of the disks.",
    why="The device never appears, and boot waits for it in vain.",
    repair="The name or UUID is rewritten where exactly one volume or LUKS container fits.",
    example="/dev/mapper/vg-data where the volume is /dev/mapper/vg0-data",
    sources=("crypttab(5)", "systemd-cryptsetup-generator(8)", "lvm(8), VALID NAMES"),
)
ROOT_MISMATCH = Rule(
    name="fstab/root-mismatch",
    summary="no line for /, or one that names another filesystem",
    severities=(_ERROR, _NOTE),
    safeties=(_SAFE, _MANUAL),
    what="No line mounts /, and nothing else has it mounted for writing: neither the boot loader nor the "
    "partition's type nor an init other than systemd; or the line names another filesystem than the one "
    "that the boot loader's root= names and this /etc lies on. No line is a note where init mounts / for "
    "writing by itself, or where kernel and command line come from outside.",
    why="The root filesystem stays read-only, or fsck and remount work on the wrong device.",
    repair="The root's own UUID is written, or a line for it is added at the end.",
    example="UUID of /home in the line for /",
    sources=("systemd-remount-fs.service(8)", "kernel-command-line(7), root="),
)

ALL = (
    MISSING, MALFORMED_LINE, BAD_ENCODING, SOURCE_NOT_FOUND, SOURCE_NOT_FOUND_OPTIONAL, DEVICE_NAME,
    WRONG_TAG, AMBIGUOUS_SOURCE, WRONG_SOURCE, WRONG_TYPE, UNSUPPORTED_TYPE, BAD_OPTION, TARGET_MISSING,
    DUPLICATE_TARGET, ORDER, RESERVED_TARGET, PASSNO, NETDEV, BIND_SOURCE, CRYPTTAB, ROOT_MISMATCH,
)  # fmt: skip
"""Every rule, in the order of the documentation."""
