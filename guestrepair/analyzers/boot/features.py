"""Tables: which filesystem features a kernel, GRUB and e2fsck know, by their versions.

What a vendor is known to have carried back is judged by the vendor's own version, or not at all.

Sources: ext4(5), KERNEL SUPPORT; the ``EXT2_LIB_FEATURE_*_SUPP`` sets in lib/ext2fs/ext2fs.h of each release
of e2fsprogs; Linux fs/xfs/libxfs/xfs_format.h and fs/btrfs/fs.h of each release; GRUB's
grub-core/fs/ext2.c and xfs.c (``EXT2_DRIVER_SUPPORTED_INCOMPAT``, ``XFS_SB_FEAT_INCOMPAT_SUPPORTED``);
Debian's changelog of grub2, 2.06-8.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from guestrepair.formats.superblock.features import Features
from guestrepair.system.readers import Numbers, Reader

NEVER: Numbers = (10**6,)


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature: its bit, its name, and from when on a kernel, e2fsck and GRUB know it (None: always)."""

    name: str
    bit: int
    kernel: Numbers | None = None
    checker: Numbers | None = None
    grub: Numbers | None = None


EXT_COMPAT = (
    Feature("sparse_super2", 0x200, checker=(1, 42, 13)),
    Feature("fast_commit", 0x400, checker=(1, 46)),
    Feature("stable_inodes", 0x800, checker=(1, 46)),
    Feature("orphan_file", 0x1000, checker=(1, 47)),
)
EXT_RO_COMPAT = (
    Feature("quota", 0x100, kernel=(3, 6), checker=(1, 42)),
    Feature("bigalloc", 0x200, kernel=(3, 2), checker=(1, 42), grub=NEVER),
    Feature("metadata_csum", 0x400, kernel=(3, 6), checker=(1, 43)),
    Feature("project", 0x2000, kernel=(4, 5), checker=(1, 43)),
    Feature("verity", 0x8000, kernel=(5, 4), checker=(1, 45)),
    Feature("orphan_present", 0x10000, kernel=(5, 15), checker=(1, 47)),
)
EXT_INCOMPAT = (
    Feature("mmp", 0x100, kernel=(3, 0), checker=(1, 42)),
    Feature("ea_inode", 0x400, kernel=(4, 13), checker=(1, 44), grub=NEVER),
    Feature("metadata_csum_seed", 0x2000, kernel=(4, 4), checker=(1, 43), grub=(2, 12)),
    Feature("large_dir", 0x4000, kernel=(4, 13), checker=(1, 44), grub=(2, 12)),
    Feature("inline_data", 0x8000, kernel=(3, 8), checker=(1, 43), grub=NEVER),
    Feature("encrypt", 0x10000, kernel=(4, 1), checker=(1, 43), grub=(2, 4)),
    Feature("casefold", 0x20000, kernel=(5, 2), checker=(1, 45), grub=NEVER),
)
XFS_RO_COMPAT = (
    Feature("finobt", 0x1, kernel=(3, 16)),
    Feature("rmapbt", 0x2, kernel=(4, 8)),
    Feature("reflink", 0x4, kernel=(4, 9)),
    Feature("inobtcount", 0x8, kernel=(5, 10)),
)
XFS_INCOMPAT = (
    Feature("ftype", 0x1, kernel=(3, 13)),
    Feature("sparse inodes", 0x2, kernel=(4, 2)),
    Feature("meta_uuid", 0x4, kernel=(4, 3)),
    Feature("bigtime", 0x8, kernel=(5, 10), grub=(2, 6)),
    Feature("needsrepair", 0x10, kernel=(5, 12), grub=(2, 6)),
    Feature("nrext64", 0x20, kernel=(5, 19), grub=(2, 6)),
    Feature("exchange", 0x40, kernel=(6, 10), grub=(2, 14)),
    Feature("parent", 0x80, kernel=(6, 10), grub=(2, 14)),
    Feature("metadir", 0x100, kernel=(6, 13), grub=(2, 14)),
)
BTRFS_RO_COMPAT = (
    Feature("free-space-tree", 0x1, kernel=(4, 5)),
    Feature("verity", 0x4, kernel=(5, 15)),
    Feature("block-group-tree", 0x8, kernel=(6, 1)),
)
BTRFS_INCOMPAT = (
    Feature("zstd", 0x10, kernel=(4, 14)),
    Feature("skinny-metadata", 0x100, kernel=(3, 10)),
    Feature("no-holes", 0x200, kernel=(3, 14)),
    Feature("metadata_uuid", 0x400, kernel=(5, 0)),
    Feature("raid1c34", 0x800, kernel=(5, 5)),
    Feature("zoned", 0x1000, kernel=(5, 12)),
    Feature("raid-stripe-tree", 0x4000, kernel=(6, 7)),
    Feature("squota", 0x10000, kernel=(6, 7)),
)

CAN_BE_TAKEN_OFF = frozenset(
    {
        "orphan_file", "orphan_present", "metadata_csum_seed", "fast_commit", "quota", "project", "mmp",
        "metadata_csum", "casefold",
    }
)  # fmt: skip
"""What tune2fs of a newer system can take off again (tune2fs(8), -O)."""

_TABLES = {
    "ext": (EXT_COMPAT, EXT_INCOMPAT, EXT_RO_COMPAT),
    "xfs": ((), XFS_INCOMPAT, XFS_RO_COMPAT),
    "btrfs": ((), BTRFS_INCOMPAT, BTRFS_RO_COMPAT),
}
_ENTERPRISE = re.compile(r"\.el(?P<major>[0-9]{1,2})")
_KNOWN_BY_ENTERPRISE = {
    7: frozenset({"finobt", "ftype", "sparse inodes", "meta_uuid"}),
    8: frozenset({"finobt", "rmapbt", "reflink", "ftype", "sparse inodes", "meta_uuid"}),
}
"""Features of XFS that kernels of Red Hat's distributions know, whatever their version says."""
_SUSE = ("-default", "-azure")
"""Kernels of SUSE's, which know more than their version says."""
_KERNEL = re.compile(r"(\d{1,4})\.(\d{1,4})")
_OLD_ENTERPRISE = re.compile(r"\.el[67]")
_DEBIAN_FIXED = 8
"""Debian's revision of GRUB 2.06 that knows what mke2fs 1.47 makes."""


def features_of(content: str, features: Features) -> tuple[list[Feature], list[Feature], list[Feature]]:
    """The listed features that a filesystem has: compatible, incompatible, compatible for reading."""
    tables = _TABLES["ext" if content.startswith("ext") else content]
    bits = (features.compat, features.incompat, features.ro_compat)
    found = [[f for f in table if f.bit & value] for table, value in zip(tables, bits, strict=True)]
    return found[0], found[1], found[2]


def unknown_to_kernel(content: str, features: Features, release: str) -> Iterator[Feature]:
    """Features for whose sake a kernel of that release mounts it not at all, or not for writing."""
    _, incompat, ro_compat = features_of(content, features)
    enterprise = _ENTERPRISE.search(release)
    version = _KERNEL.match(release)
    if enterprise is not None:
        known = _KNOWN_BY_ENTERPRISE.get(int(enterprise["major"])) if content == "xfs" else None
        yield from (f for f in (*incompat, *ro_compat) if known is not None and f.name not in known)
    elif version is not None and not release.endswith(_SUSE):
        numbers = int(version[1]), int(version[2])
        yield from (f for f in (*incompat, *ro_compat) if f.kernel is not None and numbers < f.kernel)


def unknown_to_checker(content: str, features: Features, checker: Reader) -> Iterator[Feature]:
    """Features for whose sake e2fsck of that version refuses the filesystem."""
    if not content.startswith("ext"):
        return
    for found in features_of(content, features):
        # Red Hat's e2fsprogs of its ninth release may have been taught what came right after it.
        carried = ".el9" in checker.text
        yield from (f for f in found if _is_older(checker, f.checker) and not (carried and f.bit >= 0x1000))


def unknown_to_grub(content: str, features: Features, grub: Reader, *, is_debian: bool) -> Iterator[Feature]:
    """Features for whose sake GRUB of that version says "unknown filesystem"."""
    if content == "btrfs":
        return
    _, incompat, ro_compat = features_of(content, features)
    for feature in (*incompat, *ro_compat):
        if feature.grub == NEVER or (
            _is_older(grub, feature.grub) and not _may_be_carried(grub, feature, is_debian)
        ):
            yield feature


def _may_be_carried(grub: Reader, feature: Feature, is_debian: bool) -> bool:
    """Of Debian it is known what its GRUB was taught when; others may have taught theirs anything."""
    if not is_debian:
        return not _OLD_ENTERPRISE.search(grub.text)
    taught = grub.version[:2] == (2, 6) and grub.revision >= _DEBIAN_FIXED
    return taught and feature.name in {"metadata_csum_seed", "large_dir"}


def _is_older(reader: Reader, since: Numbers | None) -> bool:
    return since is not None and reader.version < since
