"""What the analyzer knows of filesystem types: which need a device, which need the network, which name which.

Sources: fstab(5) and mount(8) of util-linux; systemd's ``fstype_is_network()`` (src/basic/mountpoint-util.c);
the kernel's Documentation/filesystems; ext4's compatibility with ext2 and ext3 (fs/ext4/super.c).
"""

from __future__ import annotations

from guestrepair.formats.words import word_set

VIRTUAL = word_set(
    """autofs binfmt_misc bpf cgroup cgroup2 configfs debugfs devpts devtmpfs efivarfs fusectl hugetlbfs
    mqueue nfsd none nsfs overlay overlayfs aufs unionfs proc pstore ramfs rootfs rpc_pipefs
    securityfs selinuxfs sysfs tmpfs tracefs usbfs ecryptfs mergerfs bindfs encfs"""
)
"""Types whose source is no device: a name, a directory, or nothing."""

NETWORK = word_set(
    """afs ceph cifs davfs gfs glusterfs lustre ncp ncpfs nfs nfs4 pvfs2 smb3 smbfs sshfs 9p virtiofs
    vboxsf vmhgfs prl_fs beegfs gpfs efs orangefs moosefs s3fs rclone gcsfuse goofys blobfuse2
    juicefs curlftpfs zfs"""
)
"""Types whose source is a server, a tag of the hypervisor or a pool: never looked for on the disks."""

IMPLIED_NETDEV = word_set(
    """afs ceph cifs smb3 smbfs sshfs ncpfs ncp nfs nfs4 gfs gfs2 glusterfs pvfs2 ocfs2 lustre davfs"""
)
"""Types that systemd itself takes for network mounts."""

NEEDS_NETDEV = word_set(
    """beegfs blobfuse2 curlftpfs efs gcsfuse goofys gpfs juicefs moosefs mfsmount orangefs rclone s3fs"""
)
"""Network types that systemd does not know for such."""

NEVER_ON_DISK = VIRTUAL - word_set("autofs aufs unionfs ecryptfs mergerfs bindfs encfs") | word_set(
    "nfs nfs4 cifs smb3 smbfs ceph glusterfs davfs ncp ncpfs 9p virtiofs sshfs afs"
)
"""Types that no disk ever holds."""

NEVER_CHECKED = frozenset({"btrfs", "xfs", "swap", "squashfs", "iso9660", "udf", "erofs"})
"""Types whose fsck does nothing at boot: the pass number belongs to be 0 (fsck.xfs(8), fsck.btrfs(8))."""

_ALIASES = {
    "ntfs3": "ntfs",
    "ntfs-3g": "ntfs",
    "lowntfs-3g": "ntfs",
    "fuseblk": "ntfs",
    "ufsd": "ntfs",
    "msdos": "vfat",
    "fat": "vfat",
    "umsdos": "vfat",
    "exfat-fuse": "exfat",
    "hfs+": "hfsplus",
    "reiser": "reiserfs",
}
_EXT = ("ext2", "ext3", "ext4")

MODULES = {
    "ext2": ("ext2", "ext4"),
    "ext3": ("ext3", "ext4"),
    "ext4": ("ext4",),
    "vfat": ("vfat",),
    "msdos": ("msdos",),
    "ntfs3": ("ntfs3",),
    "iso9660": ("isofs",),
    **{t: (t,) for t in ("btrfs", "f2fs", "xfs", "udf", "exfat", "hfsplus", "jfs", "reiserfs", "squashfs")},
    **{t: (t,) for t in ("erofs", "nilfs2", "bcachefs", "ocfs2", "gfs2", "minix", "cramfs", "romfs", "hfs")},
}
"""Kernel modules of which one is the driver of a type."""

ON_DISK = frozenset(MODULES) - {"bcachefs"} | {"swap", "auto", "ntfs"}
"""Types that are always on one block device or file."""


_OTHERS = word_set(
    """auto swap ntfs ntfs3 ntfs-3g lowntfs-3g fuseblk fuse msdos fat umsdos ufsd exfat-fuse apfs hfs hfs+
    befs affs qnx4 qnx6 sysv ufs vxfs zonefs lvm2pv debugfs incfs shiftfs tarfs"""
)


def is_known(fs_type: str) -> bool:
    """True for a type, or each of a list of them, that some kernel or helper has."""
    everything = VIRTUAL | NETWORK | IMPLIED_NETDEV | NEEDS_NETDEV | _OTHERS | frozenset(MODULES)
    return all(name.startswith("fuse.") or name in everything for name in fs_type.split(",") if name)


def base_type(fs_type: str) -> str:
    """``fuse.sshfs`` → ``sshfs``; other types as they are."""
    return fs_type.removeprefix("fuse.") if fs_type.startswith("fuse.") else fs_type


def is_network(fs_type: str) -> bool:
    """True when the source is reached over the network or given by the hypervisor."""
    return base_type(fs_type) in NETWORK | IMPLIED_NETDEV - {"gfs2", "ocfs2"}


def needs_device(fs_type: str) -> bool:
    """True when the source of such a mount is a block device (or a file with one in it)."""
    if fs_type in VIRTUAL or is_network(fs_type):
        return False
    return not fs_type.startswith("fuse") or fs_type == "fuseblk"


def fits(fs_type: str, content: str) -> bool:
    """True when a mount as ``fs_type`` of what blkid(8) calls ``content`` can work, or cannot be judged."""
    if not content:
        return False
    names = [_ALIASES.get(name, name) for name in fs_type.split(",")]
    return any(_fits_one(name, _ALIASES.get(content, content)) for name in names)


def _fits_one(name: str, content: str) -> bool:
    if name in {"auto", "none", ""}:
        return content != "swap"
    if name == "swap" or content in {"swap", "swsuspend"}:
        return name == "swap" and content in {"swap", "swsuspend"}
    if name in _EXT and content in _EXT:
        # One driver serves all three, but ext2 and ext3 refuse the features of ext4.
        return content != "ext4" or name == "ext4"
    return name == content
