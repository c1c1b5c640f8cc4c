"""Mount options that surely make a mount fail, and what they should have been.

Kernel filesystems refuse an option that they do not know (fs_parser.c, "Unknown parameter"), so an option
of one filesystem on another stops the mount. The tables hold only what no kernel ever took. Sources: the
kernel's Documentation/filesystems (ext4, xfs, btrfs, vfat), mount(8) "Filesystem-specific mount options",
btrfs(5), xfs(5), ext4(5), swapon(8). Compared with the kernel's own tables of parameters: ext4_param_specs,
xfs_fs_parameters, btrfs_fs_parameters, fat_param_spec (fs/*/super.c and their like, Linux 6.12 to 6.16).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TypeAlias

from guestrepair.formats.words import word_set
from guestrepair.system.mounts.spelling import edit_distance

Release: TypeAlias = tuple[int, int]
"""A kernel's release: major and minor number."""

_GENERIC = frozenset(
    [
        *(
            "async",
            "atime",
            "auto",
            "bind",
            "context",
            "defaults",
            "defcontext",
            "dev",
            "diratime",
            "dirsync",
        ),
        *("exec", "fscontext", "group", "iversion", "lazytime", "loop", "mand", "move", "noatime", "noauto"),
        *(
            "nodev",
            "nodiratime",
            "noexec",
            "nofail",
            "nogroup",
            "noiversion",
            "nolazytime",
            "noloop",
            "nomand",
        ),
        *("noowner", "norelatime", "nostrictatime", "nosuid", "nosymfollow", "nouser", "nousers", "offset"),
        *("owner", "private", "rbind", "relatime", "remount", "ro", "rootcontext", "rprivate", "rshared"),
        *("rslave", "runbindable", "rw", "seclabel", "shared", "silent", "sizelimit", "slave", "strictatime"),
        *("suid", "symfollow", "sync", "unbindable", "user", "users", "loud", "encryption", "helper"),
        *("uhelper", "comment", "_netdev", "_rnetdev", "nonetdev", "verity.hashdevice", "quota", "noquota"),
        *("usrquota", "grpquota", "nofollow", "sw", "pri", "acl", "noacl", "user_xattr", "nouser_xattr"),
    ]
)
_EXT_ONLY = frozenset(
    [
        *("data", "errors", "journal_checksum", "journal_async_commit", "journal_path", "journal_dev"),
        *(
            "data_err",
            "resuid",
            "resgid",
            "jqfmt",
            "usrjquota",
            "grpjquota",
            "auto_da_alloc",
            "noauto_da_alloc",
        ),
        *("delalloc", "nodelalloc", "dioread_lock", "dioread_nolock", "max_batch_time", "min_batch_time"),
        *("init_itable", "noinit_itable", "noload", "norecovery", "stripe", "inode_readahead_blks", "bsddf"),
        *("minixdf", "debug_want_extra_isize", "journal_ioprio", "block_validity", "noblock_validity"),
    ]
)
_BTRFS_ONLY = frozenset(
    [
        *("subvol", "subvolid", "subvolrootid", "compress", "compress-force", "autodefrag", "noautodefrag"),
        *("space_cache", "nospace_cache", "clear_cache", "ssd", "nossd", "ssd_spread", "degraded", "datacow"),
        *(
            "nodatacow",
            "datasum",
            "nodatasum",
            "flushoncommit",
            "noflushoncommit",
            "max_inline",
            "metadata_ratio",
        ),
        *("thread_pool", "treelog", "notreelog", "usebackuproot", "skip_balance", "enospc_debug", "rescue"),
        *("user_subvol_rm_allowed", "fatal_errors", "check_int", "check_int_data"),
    ]
)
_XFS_ONLY = frozenset(
    [
        *("allocsize", "attr2", "noattr2", "inode32", "inode64", "ikeep", "noikeep", "largeio", "nolargeio"),
        *("logbufs", "logbsize", "logdev", "rtdev", "noalign", "nouuid", "filestreams", "sunit", "swidth"),
        *("swalloc", "wsync", "uqnoenforce", "gqnoenforce", "pqnoenforce", "qnoenforce", "uquota", "gquota"),
        *("pquota", "dax"),
    ]
)
_FAT_ONLY = frozenset(
    [
        *("umask", "dmask", "fmask", "codepage", "iocharset", "shortname", "utf8", "uni_xlate", "nonumtail"),
        *("flush", "tz", "time_offset", "showexec", "quiet", "allow_utime", "check", "rodir", "dos1xfloppy"),
        *("uid", "gid", "usefree", "nfs", "sys_immutable", "dots", "nodots"),
    ]
)
_OVERLAY_ONLY = frozenset(
    [
        *("lowerdir", "upperdir", "workdir", "lowerdir+", "datadir+", "redirect_dir", "index", "nfs_export"),
        *("xino", "metacopy", "userxattr", "uuid", "verity", "volatile", "default_permissions"),
        *("override_creds", "nooverride_creds"),
    ]
)
_SHARED = {
    "overlay": frozenset(),
    "ext": frozenset(
        [
            *("abort", "barrier", "bh", "bsdgroups", "check", "commit", "dax", "debug", "discard"),
            *("fc_debug_force", "fc_debug_max_replay", "grpid", "i_version", "inlinecrypt", "journal"),
            *("lazytime", "mb_optimize_scan", "no_mbcache", "no_prefetch_block_bitmaps", "nobarrier"),
            *("nobh", "nocheck", "nodiscard", "nogrpid", "nolazytime", "nombcache", "noreservation"),
            *("nouid32", "nowarn_on_error", "oldalloc", "orlov", "prefetch_block_bitmaps", "prjquota"),
            *("reservation", "sb", "sysvgroups", "test_dummy_encryption", "warn_on_error"),
            *("nojournal_checksum", "max_dir_size_kb", "mblk_io_submit", "nomblk_io_submit", "resize", "xip"),
            "nodioread_nolock",
        ]
    ),
    "btrfs": frozenset(
        [
            *("alloc_start", "barrier", "check_int_print_mask", "commit", "device", "discard"),
            *("fragment", "inode_cache", "nobarrier", "noclear_cache", "nodiscard", "noenospc_debug"),
            *("noinode_cache", "norecovery", "noskip_balance", "recovery", "ref_verify"),
            *("subvolrootid", "nologreplay", "nossd_spread", "ref_tracker", "rescan_uuid_tree"),
        ]
    ),
    "xfs": frozenset(
        [
            *("barrier", "biosize", "bsdgroups", "delaylog", "discard", "dmapi", "grpid"),
            *("ihashsize", "irixsgid", "lifetime", "max_atomic_write", "max_open_zones", "mtpt"),
            *("nobarrier", "nodelaylog", "nodiscard", "nogrpid", "nolifetime", "noquota", "norecovery"),
            *("osyncisdsync", "osyncisosync", "prjquota", "sysvgroups", "xdsm"),
        ]
    ),
    "fat": frozenset(
        [
            *("blocksize", "conv", "cvf_format", "cvf_options", "debug", "discard", "dotsOK", "errors"),
            *("fat", "nocase", "nodiscard", "posix"),
        ]
    ),
}  # fmt: skip
_FAMILY = {
    "ext2": "ext", "ext3": "ext", "ext4": "ext",
    "btrfs": "btrfs", "xfs": "xfs", "vfat": "fat", "msdos": "fat", "overlay": "overlay",
}  # fmt: skip
_OWN = {"ext": _EXT_ONLY, "btrfs": _BTRFS_ONLY, "xfs": _XFS_ONLY, "fat": _FAT_ONLY, "overlay": _OVERLAY_ONLY}
_VALUES = {
    ("ext", "errors"): ("continue", "remount-ro", "panic"),
    ("fat", "errors"): ("continue", "remount-ro", "panic"),
    ("ext", "data"): ("journal", "ordered", "writeback"),
    ("ext", "data_err"): ("ignore", "abort"),
}
_COMPRESSION = re.compile(r"(zlib|lzo|zstd|none|no|yes|1|0|true|false)(:-?\d+)?\Z")
_NUMERIC = {("ext", "commit"), ("btrfs", "commit"), ("xfs", "logbufs"), ("btrfs", "subvolid")}
_REMOVED: dict[tuple[str, str], Release] = {
    ("xfs", "barrier"): (4, 19),
    ("xfs", "nobarrier"): (4, 19),
    **{("xfs", n): (4, 0) for n in ("delaylog", "nodelaylog", "ihashsize", "irixsgid")},
    **{("xfs", n): (4, 0) for n in ("osyncisdsync", "osyncisosync")},
}
"""From which kernel on an option is refused (Documentation/admin-guide/xfs.rst, Removed Mount Options)."""

_READ_ONLY = {
    "xfs": frozenset({"norecovery"}),
    "btrfs": frozenset({"norecovery", "nologreplay", "rescue=nologreplay", "rescue=all"}),
}
"""Options that are refused without ``ro`` (Documentation/admin-guide/xfs.rst; btrfs(5))."""

_LONGEST_NAME = 32
_MAX_SLIPS = 3
_SWAP_DISCARD = frozenset({"", "once", "pages"})


@dataclass(frozen=True, slots=True)
class BadOption:
    """An option that makes the mount fail, why, and the option to write instead (None: leave it out)."""

    option: str
    reason: str
    instead: str | None = None


def needs_release(options: tuple[str, ...]) -> bool:
    """True when the kernel's release decides whether one of the options is refused."""
    names = {name for _, name in _REMOVED}
    return any(option.partition("=")[0] in names for option in options)


_TMPFS = word_set(
    """size nr_blocks nr_inodes mode uid gid huge mpol noswap inode32 inode64 casefold strict_encoding
    usrquota_block_hardlimit usrquota_inode_hardlimit grpquota_block_hardlimit grpquota_inode_hardlimit"""
)
_SWAP = frozenset({"priority", "discard", "fixpgsz"})


def not_known(fs_type: str, options: Sequence[str]) -> Iterator[str]:
    """The options of a filesystem whose options are known that are none of them, right or wrong."""
    table = {"tmpfs": _TMPFS, "swap": _SWAP}.get(fs_type)
    if table is None and fs_type not in _FAMILY:
        return
    for option in options:
        key = option.partition("=")[0]
        if table is not None and key in table:
            continue
        if option and not is_known(fs_type, option) and not bad_options(fs_type, (option,)):
            yield option


def is_known(fs_type: str, option: str) -> bool:
    """True when mount(8) or that filesystem surely takes the option."""
    key = option.partition("=")[0]
    family = _FAMILY.get(fs_type, "")
    own = _OWN[family] | _SHARED[family] if family else frozenset()
    return key.startswith(("x-", "X-")) or key in _GENERIC | own


def bad_options(
    fs_type: str, options: tuple[str, ...], kernels: Sequence[Release] = ()
) -> tuple[BadOption, ...]:
    """Those options that a mount of this type surely refuses; nothing for types that are not known here.

    ``kernels`` are the releases of all kernels of the guest; none where they are not known.
    """
    if fs_type == "swap":
        return tuple(b for o in options if (b := _swap(o)) is not None)
    family = _FAMILY.get(fs_type)
    if family is None:
        return ()

    def refused(option: str) -> BadOption | None:
        return _removed(family, option, kernels) or _judge(family, fs_type, option)

    judged = (refused(option) or _without_ro(family, option, options) for option in options)
    return tuple(_that_holds(bad, refused) for bad in judged if bad is not None)


def _without_ro(family: str, option: str, options: Sequence[str]) -> BadOption | None:
    """An option that leaves the log unread, which is for mounts that are only read."""
    if option not in _READ_ONLY.get(family, ()) or [o for o in options if o in {"ro", "rw"}][-1:] == ["ro"]:
        return None
    return BadOption(option, f"{option} is only for a mount with ro")


def _that_holds(bad: BadOption, refused: Callable[[str], BadOption | None]) -> BadOption:
    """The same, corrected so that nothing refuses the correction (it may need one itself); else left out."""
    instead = bad.instead
    for _ in range(_MAX_SLIPS):
        again = None if instead is None else refused(instead)
        if again is None:
            return replace(bad, instead=instead)
        instead = again.instead
    return replace(bad, instead=None)


def _removed(family: str, option: str, kernels: Sequence[Release]) -> BadOption | None:
    since = _REMOVED.get((family, option.partition("=")[0]))
    if since is None or not kernels or min(kernels) < since:
        return None
    return BadOption(option, f"{option} is refused since Linux {since[0]}.{since[1]}")


def _swap(option: str) -> BadOption | None:
    key, equals, value = option.partition("=")
    if key in {"pri", "priority"} and equals and not _is_priority(value):
        return BadOption(option, f"the priority {value!r} is no number from -1 to 32767")
    if key == "discard" and value not in _SWAP_DISCARD:
        return BadOption(option, f"the discard policy {value!r} is neither once nor pages", "discard")
    return None


def _is_priority(value: str) -> bool:
    return re.fullmatch(r"-?\d{1,5}", value) is not None and -1 <= int(value) <= 32767


def _judge(family: str, fs_type: str, option: str) -> BadOption | None:
    key, _, value = option.partition("=")
    if key.startswith(("x-", "X-")) or key in _GENERIC:
        return None
    known = _OWN[family] | _SHARED[family]
    if key in known:
        return _bad_value(family, key, value, option)
    foreign = [name for name, own in _OWN.items() if key in own]
    if foreign:
        owner = {"ext": "ext4", "fat": "vfat"}.get(foreign[0], foreign[0])
        return BadOption(option, f"{key} is an option of {owner}, which {fs_type} refuses")
    return _typo(option, key, family)


def _bad_value(family: str, key: str, value: str, option: str) -> BadOption | None:
    allowed = _VALUES.get((family, key))
    if allowed is not None and value not in allowed:
        near = [v for v in allowed if edit_distance(value, v, 2) is not None]
        fix = f"{key}={near[0]}" if len(near) == 1 else None
        return BadOption(option, f"{key} takes {', '.join(allowed)}, and not {value!r}", fix)
    if (family, key) in _NUMERIC and not re.fullmatch(r"\d+", value):
        return BadOption(option, f"{key} takes a number, and not {value!r}")
    if key in {"compress", "compress-force"} and value and not _COMPRESSION.match(value):
        return BadOption(option, f"{value!r} is no compression that btrfs knows")
    return None


def _typo(option: str, key: str, family: str) -> BadOption | None:
    """A name that is one or two slips away from a known option; other unknown names are left alone."""
    if len(key) < 4:
        return None
    most = 1 if len(key) < 6 else 2
    names = _names_by_rest(family)
    alike = {name for rest in _rests(key) for name in names.get(rest, ())}
    near = {name: d for name in alike if (d := edit_distance(key, name, most)) is not None}
    if not near:
        return None
    best = min(near.values())
    nearest = sorted(name for name, distance in near.items() if distance == best)
    fix = nearest[0] + option[len(key) :] if len(nearest) == 1 else None
    return BadOption(option, f"no filesystem knows {key}", fix)


@cache
def _names_by_rest(family: str) -> dict[str, list[str]]:
    """The options of a family by what is left of them without up to two of their letters."""
    found: dict[str, list[str]] = defaultdict(list)
    for name in _OWN[family] | _SHARED[family] | _GENERIC:
        if len(name) >= 4:
            for rest in _rests(name):
                found[rest].append(name)
    return dict(found)


def _rests(word: str) -> set[str]:
    """A word without up to two of its letters: two words that are two slips apart have one in common."""
    if len(word) > _LONGEST_NAME:
        return set()
    without_one = {word[:i] + word[i + 1 :] for i in range(len(word))}
    return {word, *without_one, *(w[:i] + w[i + 1 :] for w in without_one for i in range(len(w)))}
