"""Every parser of ``guestrepair/formats``, as a function of bytes: what test_every_parser.py runs.

A module of formats/ that is neither here nor in :data:`WITHOUT_A_PARSER` fails a test.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeAlias

from guestrepair.formats import (
    apkdb,
    bootloader,
    capabilities,
    crypttab,
    deb822,
    dpkg_alternatives,
    dpkg_config,
    dpkg_lists,
    elf,
    ext_accepted,
    ext_extents,
    ext_geometry,
    ext_inodes,
    ext_tree,
    extents,
    file_contexts,
    fstab,
    gpt,
    hosts_access,
    initramfs,
    kernel_cmdline,
    kernel_image,
    ldso,
    logs,
    mbr,
    modules,
    os_release,
    pacmandb,
    pam,
    passwd,
    posix_acl,
    selinux_config,
    ssh_key,
    sshd_config,
    sudoers,
    superblock,
    systemd_unit,
    sysusers,
    tmpfiles,
    words,
    yum_repo,
)
from guestrepair.formats.bootloader import entries
from guestrepair.formats.sshd_config import numbers, settings, tokens
from guestrepair.formats.superblock import ext, fat, journal, luks_keys

Parser: TypeAlias = Callable[[bytes], object]
NOW = dt.datetime(2024, 5, 1, tzinfo=dt.UTC)


def text(data: bytes) -> str:
    """As the callers decode it."""
    return data.decode("utf-8", "surrogateescape")


def reader(data: bytes) -> Callable[[int, int], bytes]:
    """A read callback on bytes."""
    return lambda offset, size: data[offset : offset + size]


def sectors(data: bytes) -> Callable[[int, int], bytes]:
    """A read callback that counts in sectors."""
    return lambda sector, count: data[sector * 512 : (sector + count) * 512]


def _labels(data: bytes) -> object:
    specifications = file_contexts.parse_file_contexts(data)
    return file_contexts.lookup(specifications, "/etc/ssh/" + "a" * 60, 0o100644)


def _paths(data: bytes) -> object:
    return dpkg_config.parse_path_filter([data]).excludes("/usr/share/doc/" + "a" * 60)


class _NoOthers:
    """The configuration includes nothing."""

    def glob(self, pattern: str) -> Sequence[str]:
        return ()

    def read(self, path: str) -> bytes | None:
        return None


def _sshd(data: bytes) -> object:
    config = sshd_config.parse("/etc/ssh/sshd_config", data, _NoOthers(), release=(9, 2))
    return list(settings.Settings(config).cross_problems())


def _logical(data: bytes) -> object:
    record = mbr.parse_mbr(data[:512].ljust(510, b"\0") + b"\x55\xaa")
    found = record.entries if record else ()
    return [mbr.parse_logical(lambda n: data[n * 512 : n * 512 + 512], e) for e in found if e.is_extended]


def _unclean(content: str, data: bytes) -> object:
    magic = {"xfs": b"XFSB\0\0\2\0"}.get(content, b"")
    return journal.unclean(reader(magic + data), content)


def _tree(data: bytes) -> object:
    filesystem = data[:1080].ljust(1080, b"\0") + b"\x53\xef" + data
    found = ext_tree.Tree(ext_inodes.Inodes(reader(filesystem)))
    return [
        (found.names(n), found.attributes(n), found.link_target(n), found.deletion_times(n))
        for n in range(1, 30)
    ] + list(ext_tree.deleted_entries(data, 30))


def _fat(data: bytes) -> object:
    boot = data[:510].ljust(510, b"\0") + b"\x55\xaa" + data
    return fat.root_names(reader(boot), len(boot))


def _geometry(data: bytes) -> object:
    geometry = ext_geometry.read_geometry(data[:56].ljust(56, b"\0") + b"\x53\xef" + data)
    return None if geometry is None else ext_geometry.read_groups(reader(data), geometry)


def _node(data: bytes) -> object:
    zone = ext_geometry.make_zone(0, 1 << 40, ())
    return None if zone is None else ext_extents.parse_node(data, zone)


def _inode(data: bytes) -> object:
    inode = ext_accepted.parse_inode(data.ljust(128, b"\0"))
    return ext_accepted._is_extra_sound(inode)


def _luks(data: bytes) -> object:
    json = data[:3000]
    size = (0x4000).to_bytes(8, "big")
    return luks_keys.objection(reader(b"LUKS\xba\xbe\0\2" + size + bytes(4080) + json))


def _layouts(data: bytes) -> object:
    filesystem = data[:1080].ljust(1080, b"\0") + b"\x53\xef" + data
    return list(ext_inodes.Inodes(reader(filesystem)).layouts(range(1, 50)))


PARSERS: Mapping[str, Mapping[str, Parser]] = {
    "apkdb": {"installed": apkdb.parse_apk_installed},
    "bootloader": {
        "grub.cfg": bootloader.parse_grub_cfg,
        "default grub": bootloader.parse_default_grub,
        "environment": bootloader.parse_environment,
        "loader entry": entries.parse_bls_entry,
        "loader.conf": entries.parse_loader_conf,
        "extlinux": entries.parse_extlinux,
        "command line": entries.parse_cmdline_file,
    },
    "capabilities": {"xattr": capabilities.parse_xattr, "text": lambda d: capabilities.parse_text(text(d))},
    "crypttab": {"crypttab": crypttab.parse},
    "deb822": {"status": deb822.parse_deb822, "some": lambda d: deb822.parse_deb822(d, wanted=("Package",))},
    "dpkg_alternatives": {"alternative": lambda d: dpkg_alternatives.parse_alternative("editor", d)},
    "dpkg_config": {"path filter": _paths},
    "dpkg_lists": {
        "list": lambda d: list(dpkg_lists.parse_list(d)),
        "problem": dpkg_lists.list_problem,
        "md5sums": dpkg_lists.parse_md5sums,
        "conffiles": lambda d: dpkg_lists.parse_conffiles(text(d)),
        "diversions": dpkg_lists.parse_diversions,
        "statoverride": dpkg_lists.parse_statoverride,
    },
    "elf": {"elf": elf.parse_elf},
    "ext_accepted": {"inode": _inode},
    "ext_extents": {"node": _node},
    "ext_geometry": {"geometry": _geometry},
    "ext_inodes": {"layouts": _layouts},
    "ext_tree": {"tree": _tree, "block": lambda d: ext_tree.parse_block(d, 1 << 31, {})},
    "extents": {"filefrag": lambda d: list(extents.parse_layouts(d))},
    "file_contexts": {"labels": _labels, "substitutions": file_contexts.parse_substitutions},
    "fstab": {
        "fstab": fstab.parse,
        "options": lambda d: fstab.split_options(text(d)),
        "tag": lambda d: fstab.split_tag(text(d)),
        "escapes": lambda d: fstab.unescape(text(d)),
    },
    "gpt": {
        "copy": lambda d: gpt.read_copy(sectors(d), 1, sector_bytes=512, total_sectors=len(d) // 512),
        "header": gpt.parse_header,
    },
    "hosts_access": {"hosts.deny": hosts_access.parse_hosts_access},
    "initramfs": {"problem": lambda d: initramfs.problem(reader(d), len(d))},
    "kernel_cmdline": {"command line": kernel_cmdline.parse},
    "kernel_image": {
        "problem": lambda d: kernel_image.problem(d, len(d)),
        "version": kernel_image.version,
    },
    "ldso": {"ld.so.conf": ldso.parse_ld_so_conf, "preload": ldso.parse_preload},
    "logs": {
        "syslog": lambda d: list(logs.parse_syslog(d, written=NOW)),
        "compressed": lambda d: logs.decompress(d, limit_bytes=1 << 20),
    },
    "mbr": {"record": mbr.parse_mbr, "logical": _logical},
    "modules": {
        "dep": modules.parse_modules_dep,
        "builtin": modules.parse_modules_builtin,
        "modprobe.d": modules.parse_modprobe_conf,
    },
    "os_release": {"os-release": os_release.parse_os_release},
    "pacmandb": {"desc": pacmandb.parse_desc, "mtree": pacmandb.parse_mtree},
    "pam": {"pam.d": pam.parse_pam},
    "passwd": {
        "passwd": passwd.parse_passwd,
        "shadow": passwd.parse_shadow,
        "group": passwd.parse_group,
    },
    "posix_acl": {"attribute": posix_acl.acl_text},
    "selinux_config": {"config": selinux_config.parse},
    "ssh_key": {"private": ssh_key.parse_private_key, "public": ssh_key.parse_public_key},
    "sshd_config": {
        "config": _sshd,
        "list": lambda d: sshd_config.match_list("a" * 40, text(d)),
        "addresses": lambda d: numbers.address_list_is_valid(text(d)),
        "time": lambda d: numbers.seconds(text(d)),
        "size": lambda d: numbers.scaled(text(d)),
        "words": lambda d: tokens.argv_split(text(d)),
        "delimited": lambda d: tokens.strdelim(text(d)),
    },
    "sudoers": {"sudoers": lambda d: list(sudoers.includes(sudoers.parse(d)))},
    "superblock": {
        "root directory of FAT": _fat,
        "identify": lambda d: superblock.identify(reader(d), len(d)),
        "keys of LUKS": _luks,
        "ext backup": lambda d: ext.find_backup(reader(d), len(d)),
        **{f"journal of {c}": partial(_unclean, c) for c in ("xfs", "btrfs", "vfat")},
    },
    "systemd_unit": {"unit": systemd_unit.parse_unit},
    "sysusers": {"sysusers.d": sysusers.parse_sysusers},
    "tmpfiles": {"tmpfiles.d": tmpfiles.parse_tmpfiles},
    "words": {"words": lambda d: words.split_words(text(d), maximum=10)},
    "yum_repo": {"repositories": lambda d: yum_repo.parse_repositories(d, {"releasever": "9"})},
}
"""Module of formats/ (a folder counts as one) to its parsers by name."""

WRITTEN_BACK: Mapping[str, Callable[[bytes], bytes]] = {
    "fstab": lambda d: bytes(fstab.parse(d)),
    "passwd": lambda d: passwd.parse_passwd(d).render(),
    "shadow": lambda d: passwd.parse_shadow(d).render(),
    "group": lambda d: passwd.parse_group(d).render(),
}
"""What is edited and written back whole: parse and render."""

WITHOUT_A_PARSER: Mapping[str, str] = {}
"""Modules that parse nothing, with the reason."""
