"""Every parser of ``guestrepair/formats``, as a function of bytes: what test_every_parser.py runs.

A module of formats/ that is neither here nor in :data:`WITHOUT_A_PARSER` fails a test.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from guestrepair.errors import FormatError
from guestrepair.formats import (
    apkdb,
    apt_sources,
    attribute_values,
    audit_log,
    authorized_keys,
    bootloader,
    btrfs_accepted,
    btrfs_content,
    btrfs_extents,
    btrfs_items,
    btrfs_lzo,
    btrfs_mounting,
    btrfs_nodes,
    btrfs_records,
    btrfs_space,
    btrfs_subvolumes,
    btrfs_superblock,
    btrfs_volume,
    capabilities,
    cloud_config,
    crontab,
    crypttab,
    deb822,
    deb_version,
    dpkg_alternatives,
    dpkg_config,
    dpkg_lists,
    elf,
    elf_symbols,
    elf_versions,
    ext_accepted,
    ext_attributes,
    ext_extents,
    ext_geometry,
    ext_history,
    ext_inodes,
    ext_journal,
    ext_mounting,
    ext_records,
    ext_space,
    ext_tree,
    extents,
    fat_entries,
    fat_geometry,
    fat_tree,
    file_contexts,
    find_records,
    firewalld,
    fstab,
    git_repository,
    git_trees,
    gpt,
    hosts_access,
    ifcfg,
    initramfs,
    initramfs_tools,
    interfaces,
    journal_data,
    journal_file,
    kernel_cmdline,
    kernel_config,
    kernel_image,
    key_conversion,
    keyfile,
    ldso,
    ldso_cache,
    limits,
    login_rules,
    logs,
    lvm2_label,
    lvm2_metadata,
    lvm2_sync,
    lvm2_text,
    lvm2_volumes,
    lvm_backup,
    machine,
    machine_id,
    mbr,
    md_array,
    md_superblock,
    modules,
    os_release,
    overlay_options,
    package_logs,
    packed_stream,
    pacmandb,
    pam,
    pam_control,
    passwd,
    posix_acl,
    resolver,
    rpm_version,
    selinux_config,
    shell_history,
    ssh_key,
    sshd_config,
    sudo_io,
    sudoers,
    superblock,
    sysctl,
    syslog_stamps,
    systemd_unit,
    sysusers,
    tar_header,
    timestamp_reply,
    tmpfiles,
    toml_lines,
    udev_rules,
    utmp,
    web_address,
    words,
    write_intent,
    xfs_accepted,
    xfs_attributes,
    xfs_blocks,
    xfs_chunks,
    xfs_directory,
    xfs_extents,
    xfs_geometry,
    xfs_inodes,
    xfs_log,
    xfs_mounting,
    xfs_records,
    xfs_reserved,
    xfs_space,
    xfs_tree,
    xml_elements,
    xz_index,
    yaml_nodes,
    yum_repo,
)
from guestrepair.formats.bootloader import entries, grub_image, vocabulary
from guestrepair.formats.firewall import iptables, nft
from guestrepair.formats.git_repository import GitRepository
from guestrepair.formats.initramfs import unpack
from guestrepair.formats.sshd_config import numbers, settings, tokens
from guestrepair.formats.superblock import ext, fat, features, journal, luks_keys
from guestrepair.guest.view import DEFAULT_READ_LIMIT
from guestrepair.packages import dpkg_open, listed
from tests.support.volumes import group_text, md_member, physical_volume, seal_new
from tests.unit.formats import btrfs_images

Parser: TypeAlias = Callable[[bytes], object]
KIB, MIB = 1024, 1024 * 1024


@dataclass(frozen=True, slots=True)
class Registered:
    """A parser, the most bytes that its callers give it, and something of its language to be repeated."""

    parse: Parser
    limit_bytes: int = DEFAULT_READ_LIMIT
    sample: bytes = b""


NOW = dt.datetime(2024, 5, 1, tzinfo=dt.UTC)


def _xz_index(data: bytes) -> object:
    """An index with the right checksum, so that what is in it is read."""
    body = b"\0" + data
    body += bytes(-len(body) % 4)
    return xz_index.parse_index(body + zlib.crc32(body).to_bytes(4, "little"))


def text(data: bytes) -> str:
    """As the callers decode it."""
    return data.decode("utf-8", "surrogateescape")


def numbered(data: bytes) -> list[tuple[int, str]]:
    """Lines as the readers of logs give them."""
    return [(number, line) for number, line in enumerate(text(data).split("\n"), 1) if line]


def _pack(data: bytes) -> object:
    """The fuzzed bytes as a pack that an index leads into."""
    name = bytes.fromhex("1" * 40)
    fan = b"".join((0 if n < 0x11 else 1).to_bytes(4, "big") for n in range(256))
    index = b"\xfftOc\0\0\0\2" + fan + name + bytes(4) + (4).to_bytes(4, "big")
    files = {"HEAD": b"1" * 40, "objects/pack/a.idx": index, "objects/pack/a.pack": b"PACK" + data}
    return list(GitRepository(files).commits())


def _changed_paths(data: bytes) -> object:
    """The fuzzed bytes as the tree of a commit, whose parent's has other entries, among them a tree."""
    one, other, parent = "1" * 40, "2" * 40, "3" * 40
    entries = b"100644 b\0" + bytes(20) + b"40000 a\0" + bytes([0x11]) * 20
    author = b"author a <b> 1 +0100\n\nc\n"
    before = b"commit \0tree " + other.encode() + b"\n" + author
    files = {
        f"objects/11/{one[2:]}": zlib.compress(b"tree \0" + data),
        f"objects/22/{other[2:]}": zlib.compress(b"tree \0" + entries),
        f"objects/33/{parent[2:]}": zlib.compress(before),
    }
    after = f"tree {one}\nparent {parent}\n".encode() + author
    return git_trees.Changes(GitRepository(files)).paths(git_repository.parse_commit("4" * 40, after))


def _crontab(form: crontab.Form, data: bytes) -> object:
    return list(crontab.parse_crontab(data, form))


def _audit(data: bytes) -> object:
    record = audit_log.parse_audit_line(text(data))
    return record and audit_log.words_of(record.fields)


def reader(data: bytes) -> Callable[[int, int], bytes]:
    """A read callback on bytes."""
    return lambda offset, size: data[offset : offset + size]


def sectors(data: bytes) -> Callable[[int, int], bytes]:
    """A read callback that counts in sectors."""
    return lambda sector, count: data[sector * 512 : (sector + count) * 512]


def _labels(data: bytes) -> object:
    specifications = file_contexts.parse_file_contexts(data)
    return file_contexts.lookup(specifications, "/etc/ssh/" + "a" * 60, 0o100644)


def _status(data: bytes) -> object:
    return deb822.parse_deb822(data, wanted=dpkg_open.FIELDS)


def _apk(data: bytes) -> object:
    packages, problems = apkdb.parse_apk_installed(data)
    return [len(package.files) for package in packages], problems


def _paths(data: bytes) -> object:
    return dpkg_config.parse_path_filter([data]).excludes("/usr/share/doc/" + "a" * 60)


def _names(data: bytes) -> elf_versions.Names:
    return elf_versions.Names(reader(data), 0, len(data))


class _NoOthers:
    """The configuration includes nothing."""

    def glob(self, pattern: str) -> Sequence[str]:
        return ()

    def read(self, path: str) -> bytes | None:
        return None


class _OneFile(_NoOthers):
    """The file, which includes nothing."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, path: str) -> bytes | None:
        return self._data if path == "/etc/nftables.conf" else None


def _nft(data: bytes) -> object:
    return nft.parse_nft("/etc/nftables.conf", _OneFile(data))


def _iptables(data: bytes) -> object:
    return iptables.parse_iptables(data, "/etc/iptables/rules.v4", "ip")


def _sshd(release: tuple[int, int], data: bytes) -> object:
    config = sshd_config.parse("/etc/ssh/sshd_config", data, _NoOthers(), release=release)
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


def _btrfs_items(data: bytes) -> object:
    found: list[object] = []
    parse: Parser
    for parse in (
        btrfs_items.parse_inode, btrfs_items.parse_extent, btrfs_items.parse_root, btrfs_items.parse_root_ref,
        btrfs_items.parse_refs, btrfs_items.parse_extrefs, lambda d: list(btrfs_items.parse_entries(d)),
    ):  # fmt: skip
        with contextlib.suppress(FormatError):
            found.append(parse(data))
    return found


def _btrfs_unpacked(kind: int, data: bytes) -> object:
    return btrfs_content.unpack(kind, data, btrfs_content.MOST_UNPACKED_BYTES)


def _btrfs_extents(data: bytes) -> object:
    taken = 0
    checks = [*map(btrfs_extents.verify_extent, (168, 169)), *map(btrfs_extents.verify_backref, (178, 184))]
    for check in checks:
        with contextlib.suppress(FormatError):
            check(4096, 16_384, data, btrfs_images.geometry())
            taken += 1
    return taken


def _btrfs_accepted(data: bytes) -> object:
    """A leaf of one item of each type, which holds those bytes."""
    taken = 0
    for owner, kinds in btrfs_accepted.ALLOWED.items():
        for kind in kinds:
            leaf = btrfs_nodes.Leaf([btrfs_nodes.key_of(4096, kind, 4096)], (0,), (len(data),), data)
            check = btrfs_items.CHECKS.get(kind)
            with contextlib.suppress(FormatError):
                if check is not None:  # as a leaf is read: then it is looked at again
                    check(4096, 4096, data)
                btrfs_accepted.verify_leaf(leaf, owner, btrfs_images.geometry())
                taken += 1
    return taken


def _btrfs_mounting(data: bytes) -> object:
    return btrfs_mounting.mount_doubt(*btrfs_images.device(btrfs_images.around(data, 1)))


def _btrfs_space(data: bytes) -> object:
    with_roots = btrfs_images.tree_of(btrfs_images.around(data, 1)).roots
    return None if with_roots is None else btrfs_space.space(with_roots)


def _btrfs_records(data: bytes) -> object:
    tree = btrfs_images.tree_of(btrfs_images.around(data))
    contents = [(tree.content(n, 0, 9000), tree.link_target(n), tree.xattrs(n)) for n in range(256, 300)]
    return list(btrfs_records.records(tree)), contents


def _btrfs_system_chunks(data: bytes) -> object:
    geometry = btrfs_images.geometry()._replace(system_chunks=data)
    return list(btrfs_volume.system_chunks(geometry))


_LABEL = bytes(physical_volume(None)[:4096])
_MEMBER = bytes(md_member(0, 1)[4096:4352])


def _physical_volume(data: bytes) -> object:
    """Metadata of the right checksum, and whatever follows a label."""
    with contextlib.suppress(FormatError):
        lvm2_label.read_physical_volume(reader(_LABEL + data))
    return lvm2_label.read_physical_volume(reader(bytes(physical_volume(data[: 512 * KIB]))))


def _logical_volumes(data: bytes) -> object:
    group = lvm2_metadata.parse_volume_group(group_text({"a": text(data)}))
    return lvm2_volumes.visible_volumes(group, lambda _stretches: reader(data))


def _in_sync(data: bytes) -> object:
    metadata = [reader(b"DmRd" + data), reader(data)]
    log = lvm2_sync.MirrorLog(1 << 40, 512)
    return lvm2_sync.is_raid1_clean(metadata, 1 << 40, 512), lvm2_sync.is_log_clean(reader(data), log)


def _write_intent(data: bytes) -> object:
    return write_intent.is_clean(reader(b"bitm\4\0\0\0" + data), 0, events=0, size_bytes=1 << 40)


def _md_member(data: bytes) -> md_superblock.Member:
    """A superblock of the right checksum, of which the data changes something."""
    block = bytearray(b"".join((bytes(4096), _MEMBER, bytes(max(len(data), 4096)))))
    block[4096 + 72 : 4096 + 72 + len(data[:72])] = data[:72]
    seal_new(block, 4096)
    try:
        return md_superblock.read_member(reader(bytes(block)), 1 << 40)
    except FormatError:
        return md_superblock.read_member(reader(data), len(data))


def _md_array(data: bytes) -> object:
    joined = md_array.Joined(_md_member(data), reader(data))
    return md_array.stretches({"a": joined, "b": joined}), md_array.stretches({"a": joined})


def _history(data: bytes) -> object:
    filesystem = data[:1080].ljust(1080, b"\0") + b"\x53\xef" + data
    return list(ext_history.former_files(ext_tree.Tree(ext_inodes.Inodes(reader(filesystem)))))


def _mounting(data: bytes) -> object:
    filesystem = data[:1080].ljust(1080, b"\0") + b"\x53\xef" + data
    return ext_mounting.mount_doubt(reader(filesystem), len(filesystem))


_JOURNAL = ext_journal.MAGIC.to_bytes(4, "big") + b"\0\0\0\4\0\0\0\0\0\0\4\0\0\1\0\0\0\0\0\1" + bytes(1000)


def _records(data: bytes) -> object:
    filesystem = data[:1080].ljust(1080, b"\0") + b"\x53\xef" + data
    return list(ext_records.records(ext_tree.Tree(ext_inodes.Inodes(reader(filesystem)))))


def _fat(data: bytes) -> object:
    boot = data[:510].ljust(510, b"\0") + b"\x55\xaa" + data
    return fat.root_names(reader(boot), len(boot))


_FAT12_BOOT = (
    bytes.fromhex(
        "eb3c906d6b66732e66617400020101000110000c00f801002000020000000000000000008000290000000000"
    ).ljust(510, b"\0")
    + b"\x55\xaa"
)
_FAT12_SECTORS = 12


def _fat_tree(data: bytes) -> object:
    """A FAT12 of a few sectors, whose table and top directory are the data."""
    half = max(1, min(data[0] if data else 1, len(data)))
    table = b"\xf8\xff\xff" + data[:half].ljust(509, b"\0")[:509]
    disk = (_FAT12_BOOT + table + data[half:].ljust(512, b"\0")).ljust(_FAT12_SECTORS * 512, b"\0")
    found = fat_tree.open_tree(reader(disk), len(disk))
    return list(found.records(())), found.space()


def _fat_table(data: bytes) -> object:
    boot = data[:510].ljust(510, b"\0") + b"\x55\xaa"
    geometry = fat_geometry.read_geometry(boot, 1 << 40)
    return fat_geometry.read_table(reader(boot + data), geometry).free


def _space(data: bytes) -> object:
    filesystem = data[:1080].ljust(1080, b"\0") + b"\x53\xef" + data
    return ext_space.space(ext_inodes.Inodes(reader(filesystem)))


def _geometry(data: bytes) -> object:
    geometry = ext_geometry.read_geometry(data[:56].ljust(56, b"\0") + b"\x53\xef" + data)
    return None if geometry is None else ext_geometry.read_groups(reader(data), geometry)


def _node(data: bytes) -> object:
    zone = ext_geometry.make_zone(0, 1 << 40, ())
    return None if zone is None else ext_extents.parse_node(data, zone)


def _inode(data: bytes) -> object:
    inode = ext_accepted.parse_inode(data.ljust(128, b"\0"))
    return ext_accepted._is_extra_sound(inode)


def _given_out(data: bytes) -> object:
    found = {b"security.capability": data, b"user.a": data, b"system.posix_acl_access": data, data: b""}
    return [attribute_values.given_out({name: found[name]}, is_special=False) for name in found]


def _ext_attributes(data: bytes) -> object:
    found = ext_attributes.parse_block(b"\0\0\2\xea" + bytes(4) + b"\1" + bytes(23) + data, 1, None)
    lists = [ext_attributes.Entry(2, b"", b"\1\0\0\0" + data)]
    return found and ext_attributes.collected(found), ext_attributes.collected(lists)


def _luks(data: bytes) -> object:
    json = data[:3000]
    size = (0x4000).to_bytes(8, "big")
    return luks_keys.objection(reader(b"LUKS\xba\xbe\0\2" + size + bytes(4080) + json))


def _key_slots(data: bytes) -> object:
    json = data[:3000]
    return features.key_derivations(reader(b"LUKS\xba\xbe\0\2\0\0\0\0\0\0\x40\0" + bytes(4080) + json))


def _grub_image(data: bytes) -> object:
    """Whatever stands in GRUB's section of a program that is sound up to there."""
    head = b"MZ" + bytes(58) + b"\x40\0\0\0PE\0\0\x64\x86\1\0" + bytes(12) + b"\0\0\0\0\x0b\2"
    section = b"mods\0\0\0\0" + bytes(8) + b"\0\0\0\1\0\2\0\0" + bytes(16)
    program = head[:0x54] + b"\2\0" + head[0x56:] + section
    return grub_image.parse_grub_image(program.ljust(512, b"\0") + b"mimg" + data)


def _journal(data: bytes) -> object:
    head = journal_data.SIGNATURE + bytes(128) + (1 << 16).to_bytes(8, "little") + bytes(32)
    whole = head + (208).to_bytes(8, "little") + bytes(24) + data
    return sum(1 for _ in journal_file.entries(reader(whole), len(whole)))


def _layouts(data: bytes) -> object:
    filesystem = data[:1080].ljust(1080, b"\0") + b"\x53\xef" + data
    return list(ext_inodes.Inodes(reader(filesystem)).layouts(range(1, 50)))


_XFS = xfs_geometry.Geometry(
    block_bytes=4096,
    block_log=12,
    sector_bytes=512,
    blocks=4 << 20,
    header_blocks=1,
    group_blocks=1 << 20,
    groups=4,
    group_log=20,
    inode_bytes=512,
    inodes_log=3,
    directory_bytes=4096,
    root=128,
    log_at=1 << 30,
    log_bytes=2 << 20,
    uuid=bytes(16),
    log_uuid=bytes(16),
    own_inodes=frozenset({129}),
    incompat=0x2B,
    ro_compat=5,
)


def _xfs_block(data: bytes) -> object:
    blocks = xfs_blocks.Blocks(reader(data), _XFS, 1 << 40)
    return blocks.node(0, xfs_blocks.SHORT_TREE, magic=data[:4], owner=0)


def _xfs_inode(data: bytes) -> object:
    inode = xfs_accepted.parse_inode(data.ljust(512, b"\0"))
    accepted = xfs_accepted.is_accepted(inode, xfs_accepted.known_flags(_XFS))
    return accepted, xfs_accepted.is_intact(inode, 128, _XFS), xfs_accepted.times_of(inode)


def _xfs_forks(data: bytes) -> object:
    """Extents in an inode, and the root of a tree whose blocks are all the same bytes."""
    forks = xfs_extents.Forks(_Unsealed(lambda _offset, size: data[:size].ljust(size, b"\0"), _XFS, 0))
    shown = data[:336].ljust(336, b"\0")
    return [forks.runs(128, form, shown, count) for form, count in ((2, 21), (3, 250), (3, 5000))]


class _Unsealed(xfs_blocks.Blocks):
    """Blocks whose checksums do not count: whatever is in them is parsed."""

    def is_intact(self, data: bytes, _seal: xfs_blocks.Seal, *, magic: bytes, at: int, owner: int) -> bool:
        return bool(data) and (len(magic), at, owner) != (0, 0, 0)


def _xfs_directory(data: bytes) -> object:
    blocks = _Unsealed(lambda offset, size: data[offset % 8192 :][:size].ljust(size, b"\0"), _XFS, 0)
    directories = xfs_directory.Directories(blocks)
    inode = xfs_accepted.parse_inode(data.ljust(512, b"\0"))._replace(form=2, size=8192)
    runs = [xfs_extents.Run(at, 8 + at % 9, 2, written=True) for at in (0, 1 << 23, 1 << 24)]
    return [directories.names(128, inode, runs[:count]) for count in (1, 2, 3)]


def _xfs_leaves(data: bytes) -> object:
    blocks = _Unsealed(lambda _offset, size: data[:size].ljust(size, b"\0"), _XFS, 0)
    inode = xfs_accepted.parse_inode(data.ljust(512, b"\0"))._replace(attribute_form=2)
    runs = [xfs_extents.Run(0, 8, 1 << 20, written=True)]
    return xfs_attributes.ExtendedAttributes(blocks).of(128, inode, runs)


def _xfs_log(data: bytes) -> object:
    ring = (data * (1 + (2 << 20) // max(1, len(data))))[: 2 << 20]
    return xfs_log.last_lsn(lambda offset, size: ring[offset - (1 << 30) :][:size], _XFS)


def _xfs_tree(data: bytes) -> object:
    found = xfs_tree.open_tree(reader(b"XFSB" + data), 1 << 34)
    return [(found.names(n), found.attributes(n), found.link_target(n)) for n in range(1, 30)]


def _packed(magic: bytes, data: bytes) -> object:
    return initramfs.examine(reader(magic + data), len(magic) + len(data))


_STATUS = (
    b"Package: a\nStatus: install ok installed\nVersion: 1\nArchitecture: all\nConffiles:\n"
    b" /etc/a 00000000000000000000000000000000\nDescription: a\n b\n\n"
)


PARSERS: Mapping[str, Mapping[str, Registered]] = {
    "apkdb": {
        "installed": Registered(_apk, listed.APK_LIMIT_BYTES, b"P:a\nV:1\nA:x86_64\nF:usr/bin\nR:a\n\n")
    },
    "apt_sources": {
        "list": Registered(
            apt_sources.parse_list, sample=b"deb [arch=amd64 signed-by=/etc/apt/a.gpg] http://a/b c main\n"
        ),
        "sources": Registered(
            apt_sources.parse_sources, sample=b"Types: deb\nURIs: http://a/b\nSuites: c\nComponents: main\n\n"
        ),
        "mirrors": Registered(apt_sources.parse_mirror_list, sample=b"http://a/b\tpriority:1\n"),
    },
    "audit_log": {
        "record": Registered(
            _audit, 64 * KIB, b'type=EXECVE msg=audit(1700000000.1:2): argc=2 a0="ls" a1=2D6C key=(null)'
        )
    },
    "bootloader": {
        "grub.cfg": Registered(
            bootloader.parse_grub_cfg,
            sample=b"menuentry 'Linux' --id a {\n search --fs-uuid --set=root 1\n linux /v root=/dev/sda1\n"
            b" initrd /i\n}\n",
        ),
        "commands": Registered(
            lambda d: list(vocabulary.unknown_commands(d)), sample=b"menuentry a { if ! b; then c; fi }\n"
        ),
        "keys": Registered(lambda d: list(vocabulary.unknown_keys(d)), sample=b"title a\nlinux /v\n"),
        "grub legacy": Registered(
            bootloader.parse_grub_legacy,
            sample=b"default=0\ntitle a\n root (hd0,0)\n kernel /v ro root=/dev/sda1\n initrd /i\n",
        ),
        "default grub": Registered(bootloader.parse_default_grub, sample=b'GRUB_CMDLINE_LINUX="quiet a=b"\n'),
        "GRUB for UEFI": Registered(_grub_image),
        "GRUB for UEFI, whole": Registered(grub_image.parse_grub_image, 16 * MIB),
        "environment": Registered(bootloader.parse_environment, sample=b"saved_entry=0\n"),
        "loader entry": Registered(entries.parse_bls_entry, sample=b"title a\nlinux /v\noptions root=a ro\n"),
        "loader.conf": Registered(entries.parse_loader_conf, sample=b"default a\ntimeout 3\n"),
        "extlinux": Registered(
            entries.parse_extlinux,
            sample=b"LABEL a\n  LINUX /v\n  INITRD /i,/j\n  APPEND root=/dev/sda1 ro\n",
        ),
        "command line": Registered(entries.parse_cmdline_file, sample=b"root=/dev/sda1 ro quiet "),
    },
    "btrfs_accepted": {"items": Registered(_btrfs_accepted, 4 * KIB)},
    "btrfs_content": {
        name: Registered(partial(_btrfs_unpacked, kind), 128 * KIB)
        for name, kind in (("zlib", 1), ("lzo", 2), ("zstd", 3))
    },
    "btrfs_extents": {"items": Registered(_btrfs_extents, 16 * KIB)},
    "btrfs_items": {"items": Registered(_btrfs_items, 64 * KIB)},
    "btrfs_lzo": {
        "extent": Registered(lambda d: _btrfs_unpacked(2, d), 128 * KIB, btrfs_images.lzo(b"abc" * 3000)),
        "inline": Registered(btrfs_lzo.verify_inline, 4 * KIB),
    },
    "btrfs_mounting": {"doubt": Registered(_btrfs_mounting, 16 * KIB)},
    "btrfs_nodes": {"node": Registered(btrfs_images.node, 64 * KIB)},
    "btrfs_records": {"records": Registered(_btrfs_records, 16 * KIB)},
    "btrfs_space": {"space": Registered(_btrfs_space, 16 * KIB)},
    "btrfs_subvolumes": {
        "list": Registered(
            lambda d: btrfs_subvolumes.list_subvolumes(*btrfs_images.device(btrfs_images.around(d, 1))),
            16 * KIB,
        )
    },
    "btrfs_superblock": {
        "superblock": Registered(
            lambda d: btrfs_superblock.parse_superblock(btrfs_images.block(d), 1 << 60), 4 * KIB
        )
    },
    "btrfs_tree": {
        "tree": Registered(lambda d: btrfs_images.tree_of(btrfs_images.around(d)).names(256), 16 * KIB)
    },
    "btrfs_volume": {"system chunks": Registered(_btrfs_system_chunks, 2 * KIB)},
    "capabilities": {
        "xattr": Registered(capabilities.parse_xattr, 64 * KIB),
        "text": Registered(lambda d: capabilities.parse_text(text(d)), sample=b"cap_chown=ep "),
    },
    "cloud_config": {
        "yaml": Registered(cloud_config.parse_yaml, yaml_nodes.MAX_SIZE_BYTES, b"a: [b, {c: d}]\n"),
        "identify": Registered(cloud_config.parse_identify, 64 * 1024, b"policy: search,found=all # x\n"),
        "kind": Registered(cloud_config.kind_of, yaml_nodes.MAX_SIZE_BYTES, b"#cloud-config\n"),
    },
    "crontab": {
        form.name: Registered(partial(_crontab, form), 256 * KIB, b"1 5 cron.daily root a b\n")
        for form in crontab.Form
    },
    "crypttab": {
        "unread": Registered(crypttab.unread_lines, crypttab.MAX_SIZE_BYTES, b"data\n"),
        "crypttab": Registered(crypttab.parse, crypttab.MAX_SIZE_BYTES, b"data UUID=1-2 none luks,discard\n"),
    },
    "deb822": {
        "status": Registered(_status, dpkg_open.STATUS_LIMIT_BYTES, _STATUS),
        "all fields": Registered(deb822.parse_deb822, dpkg_open.STATUS_LIMIT_BYTES, _STATUS),
    },
    "deb_version": {
        "version": Registered(lambda d: deb_version.DebVersion(text(d)), sample=b"1:1.2~rc3+deb12u1-5")
    },
    "dpkg_alternatives": {
        "alternative": Registered(
            lambda d: dpkg_alternatives.parse_alternative("editor", b"auto\n/usr/bin/editor\na\n/b\n\n" + d),
            sample=b"/bin/nano\n40\n/usr/share/man/nano.1\n",
        )
    },
    "dpkg_config": {"path filter": Registered(_paths, sample=b"path-exclude=/usr/share/doc/*\n")},
    "dpkg_lists": {
        "list": Registered(
            lambda d: sum(1 for _ in dpkg_lists.parse_list(d)), dpkg_open.FILE_LIMIT_BYTES, b"/usr/bin/a\n"
        ),
        "problem": Registered(dpkg_lists.list_problem, dpkg_open.FILE_LIMIT_BYTES, b"/usr/bin/a\n"),
        "md5sums": Registered(
            dpkg_lists.parse_md5sums, dpkg_open.FILE_LIMIT_BYTES, b"%032d  usr/bin/a\n" % 0
        ),
        "conffiles": Registered(
            lambda d: dpkg_lists.parse_conffiles(text(d)),
            dpkg_open.STATUS_LIMIT_BYTES,
            b"/etc/a 00000000000000000000000000000000\n",
        ),
        "diversions": Registered(
            dpkg_lists.parse_diversions, dpkg_open.FILE_LIMIT_BYTES, b"/a\n/a.distrib\n:\n"
        ),
        "statoverride": Registered(
            dpkg_lists.parse_statoverride, dpkg_open.FILE_LIMIT_BYTES, b"root mail 2755 /usr/bin/a\n"
        ),
    },
    "elf": {"elf": Registered(elf.parse_elf)},
    "elf_symbols": {"symbols": Registered(lambda d: elf_symbols.read_symbols(reader(d)))},
    "elf_versions": {
        "needed": Registered(lambda d: elf_versions.needed_versions(reader(d), "<", 0, 99_999, _names(d))),
        "defined": Registered(lambda d: elf_versions.defined_versions(reader(d), "<", 0, 8_000, _names(d))),
    },
    "attribute_values": {
        "access list": Registered(attribute_values.is_access_list, 64 * KIB, b"\2\0\0\0"),
        "attributes": Registered(_given_out, 64 * KIB),
    },
    "ext_attributes": {
        "entries": Registered(ext_attributes.parse_entries, 64 * KIB, b"\1\1" + bytes(14) + b"a\0\0\0"),
        "block": Registered(_ext_attributes, 64 * KIB, b"\1\1" + bytes(14) + b"a\0\0\0"),
    },
    "ext_accepted": {"inode": Registered(_inode, 4 * KIB)},
    "ext_extents": {"node": Registered(_node, 64 * KIB)},
    "ext_geometry": {"geometry": Registered(_geometry, 4 * KIB)},
    "ext_inodes": {"layouts": Registered(_layouts)},
    "ext_history": {"files": Registered(_history)},
    "ext_journal": {
        "journal": Registered(
            lambda d: [
                list(j.copies(b)) for j in [ext_journal.Journal(reader(_JOURNAL + d))] for b in j.blocks
            ],
            sample=ext_journal.MAGIC.to_bytes(4, "big")
            + b"\0\0\0\1\0\0\0\2"
            + b"\0\0\0\7\0\0\0\2" * 126
            + bytes(4),
        ),
        "superblock": Registered(ext_journal.parse_shape, 4096, _JOURNAL),
    },
    "ext_mounting": {
        "doubt": Registered(_mounting),
        "journal": Registered(
            lambda d: ext_mounting.journal_doubt(d.ljust(1024, b"\0"), 1 << 30, 1024), 4096, _JOURNAL
        ),
    },
    "ext_records": {"records": Registered(_records)},
    "ext_space": {"space": Registered(_space)},
    "ext_tree": {
        "tree": Registered(_tree),
        "block": Registered(lambda d: ext_tree.parse_block(d, 1 << 31, {}), 64 * KIB),
    },
    "extents": {
        "filefrag": Registered(
            lambda d: sum(1 for _ in extents.parse_layouts(d)),
            32 * MIB,
            b"File size of a is 1 (1 block of 1 bytes)\n 0: 0.. 0: 8.. 8: 1: last,eof\na: 1 extent found\n",
        )
    },
    "fat_entries": {
        "directory": Registered(
            lambda d: list(fat_entries.parse_entries(d)),
            fat_tree.MAX_DIRECTORY_BYTES,
            b"A          \x20\x18" + bytes(15) + b"\2\0\5\0\0\0" + b"\xe5" + bytes(31),
        )
    },
    "fat_geometry": {"table": Registered(_fat_table, sample=_FAT12_BOOT)},
    "fat_tree": {"tree": Registered(_fat_tree, sample=b"\x09" + bytes(8) + b"A          \x20")},
    "file_contexts": {
        "labels": Registered(_labels, 16 * MIB, b"/etc/ssh(/.*)?  --  system_u:object_r:etc_t:s0\n"),
        "substitutions": Registered(file_contexts.parse_substitutions, 16 * MIB, b"/run /var/run\n"),
    },
    "firewall": {
        "nft": Registered(
            _nft,
            sample=b"table inet a {\n set b { type inet_service; elements = { 1, 2-3 }; }\n chain c {\n"
            b"  type filter hook input priority 0; policy drop;\n  tcp dport { 22, 80 } accept\n }\n}\n",
        ),
        "iptables": Registered(
            _iptables, sample=b"*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp --dport 22 -j ACCEPT\nCOMMIT\n"
        ),
    },
    "firewalld": {"xml": Registered(firewalld.parse_firewalld, sample=b'<zone><service name="ssh"/></zone>')},
    "find_records": {
        "names": Registered(
            lambda d: sum(1 for _ in find_records.parse_find([d])),
            sample=b"5/644/f/0/0/9/1.5000000000/-2.0/3.0\0\0etc/a\0",
        ),
        "created": Registered(lambda d: find_records.Created([d]).of(5), sample=b"5/1.500000000\0"),
    },
    "fstab": {
        "fstab": Registered(fstab.parse, fstab.MAX_SIZE_BYTES, b"UUID=1-2 /a ext4 defaults,noatime 0 2\n"),
        "options": Registered(lambda d: fstab.split_options(text(d)), MIB, b"noatime,"),
        "tag": Registered(lambda d: fstab.split_tag(text(d)), MIB, b"UUID="),
        "escapes": Registered(lambda d: fstab.unescape(text(d)), MIB, b"a\\040b"),
    },
    "git_repository": {
        "commit": Registered(
            lambda d: git_repository.parse_commit("a", d), MIB, b"parent a\nauthor a <b> 1 +0100\n\nc\n"
        ),
        "log": Registered(
            lambda d: git_repository.parse_reflog_line(text(d)),
            64 * KIB,
            b"a " + b"1" * 40 + b" a <b> 1 +0100\tc",
        ),
        "loose": Registered(
            lambda d: list(GitRepository({"HEAD": b"1" * 40, "objects/11/" + "1" * 38: d}).commits()), MIB
        ),
        "pack": Registered(_pack, MIB),
    },
    "git_trees": {
        "tree": Registered(git_trees.parse_tree, MIB, b"100644 a\0" + bytes(range(1, 21))),
        "changes": Registered(_changed_paths, MIB, b"100644 a\0" + bytes(range(1, 21))),
    },
    "gpt": {
        "copy": Registered(
            lambda d: gpt.read_copy(sectors(d), 1, sector_bytes=512, total_sectors=len(d) // 512), 2 * MIB
        ),
        "header": Registered(gpt.parse_header, 4096),
    },
    "hosts_access": {"hosts.deny": Registered(hosts_access.parse_hosts_access, sample=b"sshd: ALL: deny\n")},
    "ifcfg": {"ifcfg": Registered(ifcfg.parse_ifcfg, sample=b"DEVICE='eth0'\nIPADDR=\"10.0.0.5\" # a\n")},
    "initramfs": {
        "problem": Registered(
            lambda d: initramfs.problem(reader(d), len(d)),
            64 * MIB,
            b"070701" + b"%08x" * 13 % (*[0] * 11, 11, 0) + b"TRAILER!!!\0\0\0\0",
        ),
        "names": Registered(
            lambda d: initramfs.examine(reader(d), len(d)),
            64 * MIB,
            b"070701"
            + b"%08x" * 13 % (0, 0o100644, 0, 0, 1, 0, 1, *[0] * 4, 14, 0)
            + b"conf/modules1\0a\0\0\0",
        ),
        **{
            f"packed by {kind}": Registered(partial(_packed, magic), 64 * MIB)
            for kind, magic in unpack.COMPRESSIONS
        },
    },
    "initramfs_tools": {
        "initramfs.conf": Registered(
            initramfs_tools.parse_modules_setting, initramfs_tools.MAX_SIZE_BYTES, b"MODULES=dep # a\n"
        )
    },
    "interfaces": {
        "interfaces": Registered(
            interfaces.parse_interfaces, sample=b"auto a\niface a inet static\n  address 10.0.0.5/24 \\\n x\n"
        )
    },
    "journal_data": {
        "header": Registered(journal_data.parse_header, 4096, journal_data.SIGNATURE),
        "xz": Registered(lambda d: journal_data.unpacked(b"\xfd7zXZ\0\0\1" + d, 1, 4096)),
        "lz4": Registered(lambda d: journal_data.unpacked(d, 2, 4096), sample=b"\xff\0\0\0\0\0\0\0"),
        "zstd": Registered(lambda d: journal_data.unpacked(b"\x28\xb5\x2f\xfd" + d, 4, 4096)),
    },
    "journal_file": {
        "entries": Registered(_journal, 8 * MIB, b"\3\0\0\0\0\0\0\0P\0\0\0\0\0\0\0" + b"\1" * 48 + bytes(16)),
        "arrays": Registered(_journal, 8 * MIB, b"\6\0\0\0\0\0\0\0 \0\0\0\0\0\0\0" + bytes(16)),
        "heads": Registered(_journal, 8 * MIB, b"\1\0\0\0\0\0\0\0A\0\0\0\0\0\0\0"),
    },
    "kernel_cmdline": {"command line": Registered(kernel_cmdline.parse, sample=b"root=/dev/sda1 ro ")},
    "kernel_config": {
        "options": Registered(kernel_config.parse_kernel_config, sample=b'CONFIG_CMDLINE="root=/dev/sda"\n')
    },
    "kernel_image": {
        "problem": Registered(lambda d: kernel_image.problem(d, len(d)), kernel_image.HEAD_BYTES),
        "version": Registered(kernel_image.version, kernel_image.HEAD_BYTES),
    },
    "keyfile": {
        "profile": Registered(
            lambda d: [s.items for s in keyfile.parse_keyfile(d).settings], sample=b"[ipv4]\na=b;c,d\n# e\n"
        )
    },
    "ldso": {
        "ld.so.conf": Registered(ldso.parse_ld_so_conf, sample=b"/usr/local/lib\ninclude a.d/*.conf\n"),
        "preload": Registered(ldso.parse_preload, sample=b"/lib/a.so "),
        "loader": Registered(ldso.parse_loader_places, sample=b"/lib64/\0"),
    },
    "ldso_cache": {
        "cache": Registered(ldso_cache.parse_ld_so_cache, 32 * MIB),
        "new": Registered(lambda d: ldso_cache.parse_ld_so_cache(b"glibc-ld.so.cache1.1" + d), 32 * MIB),
        "old": Registered(lambda d: ldso_cache.parse_ld_so_cache(b"ld.so-1.7.0\0" + d), 32 * MIB),
    },
    "limits": {
        "unknown": Registered(lambda d: list(limits.unknown_words(d)), sample=b"@a hard x 1048576\n"),
        "limits.conf": Registered(limits.parse_limits, sample=b"@a hard nofile 1048576\n"),
    },
    "logs": {
        "syslog": Registered(
            lambda d: sum(1 for _ in logs.parse_syslog(d, written=NOW)),
            64 * MIB,
            b"Jan  1 00:00:00 host sshd[1]: Server listening on :: port 22.\n",
        ),
        "compressed": Registered(lambda d: logs.decompress(d, limit_bytes=64 * MIB), 16 * MIB),
    },
    "machine": {
        "libvirt": Registered(
            machine.parse_machine,
            machine.MAX_SIZE_BYTES,
            b"<domain><devices><disk><target dev='vda' bus='virtio'/></disk></devices></domain>",
        ),
        "vmx": Registered(
            machine.parse_machine,
            machine.MAX_SIZE_BYTES,
            b'virtualHW.version = "19"\nscsi0:0.present = "TRUE"\nethernet0.virtualDev = "e1000"\n',
        ),
    },
    "lvm2_label": {"label": Registered(_physical_volume, MIB, b"LABELONE")},
    "lvm2_metadata": {
        "group": Registered(
            lvm2_metadata.parse_volume_group, MIB, b'contents = "a" version = 1 a { b = 1 }\n'
        )
    },
    "lvm2_sync": {"records": Registered(_in_sync, MIB)},
    "lvm2_text": {"text": Registered(lvm2_text.parse_text, MIB, b'a { b = [ "c", 1 ] } # d\n')},
    "lvm2_volumes": {
        "volumes": Registered(_logical_volumes, MIB, b'segment_count = 1 segment1 { type = "striped" }\n')
    },
    "lvm_backup": {
        "head": Registered(
            lvm_backup.parse_lvm_backup, lvm_backup.MAX_BYTES, b'description = "a"\ncreation_time = 1\n'
        )
    },
    "md_array": {"array": Registered(_md_array, MIB)},
    "md_superblock": {"member": Registered(_md_member, MIB)},
    "machine_id": {
        "state": Registered(machine_id.machine_id_state, 4096, b"5f1d2c340b6e4c399d5a6a1f3be0c1aa\n"),
        "identity": Registered(machine_id.identity_in, 4096, b"5f1d2c340b6e4c399d5a6a1f3be0c1aa\nx\n"),
    },
    "mbr": {"record": Registered(mbr.parse_mbr, 4096), "logical": Registered(_logical)},
    "modules": {
        "alias": Registered(
            lambda d: modules.parse_aliases(d, ("pci:v00001B36d00000010sv00001AF4sd00001100bc01sc08i02",)),
            modules.MAX_SIZE_BYTES,
            b"alias pci:v*d*sv*sd*bc01sc08i02* nvme\n",
        ),
        "builtin.modinfo": Registered(
            lambda d: modules.parse_builtin_aliases(d, ("scsi:t-0x00",)),
            modules.MAX_SIZE_BYTES,
            b"sd_mod.alias=scsi:t-0x00*\0",
        ),
        "dep": Registered(
            modules.parse_dependencies,
            modules.MAX_SIZE_BYTES,
            b"kernel/fs/ext4/ext4.ko.xz: kernel/lib/crc16.ko.xz\n",
        ),
        "builtin": Registered(
            modules.parse_modules_builtin, modules.MAX_SIZE_BYTES, b"kernel/fs/ext4/ext4.ko\n"
        ),
        "modprobe.d": Registered(
            modules.parse_modprobe_conf, sample=b"blacklist vfat\ninstall a /bin/true\n"
        ),
    },
    "os_release": {
        "os-release": Registered(os_release.parse_os_release, 64 * KIB, sample=b'NAME="A Linux"\nID=a\n')
    },
    "overlay_options": {
        "layers": Registered(
            lambda d: overlay_options.layers(fstab.split_options(text(d))), MIB, b"lowerdir=/a\\:b:/c::/d,"
        ),
    },
    "package_logs": {
        "apt": Registered(
            lambda d: sum(
                len(r.changes) for r in package_logs.parse_apt_history(enumerate(text(d).split("\n")))
            ),
            16 * MIB,
            b"Start-Date: 2026-01-01  00:00:00\nInstall: a:amd64 (1.0, automatic), b (1, 2)\n",
        ),
        "dpkg": Registered(
            lambda d: package_logs.parse_dpkg_line(text(d)), 64 * KIB, b"install a:amd64 <none> 1 "
        ),
        "rpm": Registered(
            lambda d: package_logs.parse_rpm_action(text(d)), 64 * KIB, b"Installed: a-1:2-3.noarch"
        ),
        "zypp": Registered(
            lambda d: package_logs.parse_zypp_line(text(d)),
            64 * KIB,
            b"2026-01-01 00:00:00|command|a@b|'a' 'b'|",
        ),
        "pacman": Registered(
            lambda d: package_logs.parse_pacman_line(text(d)),
            64 * KIB,
            b"[2026-01-01T00:00:00+0100] [ALPM] installed a (1)",
        ),
        "time": Registered(lambda d: package_logs.zoned_time(text(d)), KIB, b"2026-01-01T00:00:00+0100"),
        "local time": Registered(lambda d: package_logs.local_time(text(d)), KIB, b"2026-01-01 00:00:00"),
    },
    "packed_stream": {
        "unpacked": Registered(
            lambda d: sum(map(len, packed_stream.unpacked([d], limit_bytes=64 * MIB))), 16 * MIB
        )
    },
    "pacmandb": {
        "desc": Registered(
            pacmandb.parse_desc,
            listed.DESC_LIMIT_BYTES,
            b"%NAME%\na\n\n%FILES%\nusr/\nusr/bin/a\n\n",
        ),
        "mtree": Registered(
            pacmandb.parse_mtree,
            listed.MTREE_LIMIT_BYTES,
            b"/set type=file uid=0 gid=0 mode=644\n./usr/bin/a time=1.0 size=1 sha256digest=%064d\n" % 0,
        ),
    },
    "pam": {
        "pam.d": Registered(pam.parse_pam, sample=b"auth [default=die] pam_a.so x=y\n@include common-auth\n")
    },
    "pam_control": {
        "control": Registered(lambda d: pam_control.parse_control(text(d)), sample=b"success=1 default=bad ")
    },
    "passwd": {
        "passwd": Registered(passwd.parse_passwd, sample=b"a:x:1000:1000:A:/home/a:/bin/sh\n"),
        "shadow": Registered(passwd.parse_shadow, sample=b"a:*:19000:0:99999:7:::\n"),
        "group": Registered(passwd.parse_group, sample=b"a:x:1000:b,c,d\n"),
        "gshadow": Registered(passwd.parse_gshadow, sample=b"a:!:b:c,d\n"),
    },
    "posix_acl": {"attribute": Registered(posix_acl.acl_text, 64 * KIB)},
    "timestamp_reply": {
        "reply": Registered(
            timestamp_reply.parse_timestamp_reply, sample=b"\x30\x07\x30\x03\x02\x01\x00\x30\x00"
        )
    },
    "toml_lines": {
        "toml": Registered(
            toml_lines.parse_toml,
            toml_lines.MAX_SIZE_BYTES,
            b'[[a]]\nb = "c" # d\ne."f" = [1, {g = \'h\'}]\n',
        )
    },
    "rpm_version": {
        "version": Registered(lambda d: rpm_version.RpmVersion(text(d)), sample=b"1.2~rc3^git4-5.el9")
    },
    "resolver": {
        "resolv.conf": Registered(resolver.parse_nameservers, sample=b"nameserver 10.0.0.1\n"),
        "nsswitch.conf": Registered(resolver.parse_databases, sample=b"hosts: files [!UNAVAIL=return] dns\n"),
    },
    "selinux_config": {"config": Registered(selinux_config.parse, sample=b"SELINUX=enforcing\n")},
    "shell_history": {
        "bash": Registered(
            lambda d: sum(1 for _ in shell_history.parse_bash_history(numbered(d))),
            16 * MIB,
            b"#1700000000\nls\n",
        ),
        "zsh": Registered(
            lambda d: sum(1 for _ in shell_history.parse_zsh_history(numbered(d))),
            16 * MIB,
            b": 1700000000:0;ls \\\n-l\n",
        ),
        "fish": Registered(
            lambda d: sum(1 for _ in shell_history.parse_fish_history(numbered(d))),
            16 * MIB,
            b"- cmd: ls\n  when: 1700000000\n",
        ),
    },
    "ssh_key": {
        "private": Registered(ssh_key.parse_private_key, ssh_key.MAX_KEY_BYTES),
        "public": Registered(ssh_key.parse_public_key, ssh_key.MAX_KEY_BYTES, b"# a\n"),
    },
    "sshd_config": {
        "config": Registered(partial(_sshd, (9, 2)), sample=b"Match User a\nPort 22\nAllowUsers a b\n"),
        "config of old releases": Registered(partial(_sshd, (7, 4)), sample=b"AllowUsers a b\nPort=22\n"),
        "list": Registered(lambda d: sshd_config.match_list("a" * 40, text(d)), sample=b"a*b,"),
        "addresses": Registered(lambda d: numbers.address_list_is_valid(text(d)), sample=b"10.0.0.0/8,"),
        "time": Registered(lambda d: numbers.seconds(text(d)), sample=b"1h"),
        "size": Registered(lambda d: numbers.scaled(text(d)), sample=b"1M"),
        "words": Registered(lambda d: tokens.argv_split(text(d)), sample=b'a "b c" '),
        "delimited": Registered(lambda d: tokens.Arguments(text(d), None).all_left(), sample=b'a "b c" =d '),
    },
    "authorized_keys": {
        "file": Registered(
            authorized_keys.parse_authorized_keys, sample=b'command="a",no-pty ssh-rsa AAAAB3NzaC1yc2E= c\n'
        )
    },
    "key_conversion": {
        "file": Registered(
            key_conversion.converted,
            sample=b"---- BEGIN SSH2 PUBLIC KEY ----\nComment: a\nAAAAB3NzaC1yc2E=\n- AAAA BBBB\nCCCC\n",
        )
    },
    "login_rules": {
        "access": Registered(login_rules.parse_access, sample=b"+ : root : ALL\n- : ALL EXCEPT a : ALL\n"),
        "times": Registered(login_rules.parse_times, sample=b"sshd;*;a|b;!Al0000-2400\n"),
        "names": Registered(login_rules.parse_names, sample=b"# a\n/bin/sh\n"),
    },
    "sudoers": {
        "sudoers": Registered(
            lambda d: list(sudoers.includes(sudoers.parse(d))),
            sudoers.MAX_SIZE_BYTES,
            b"%sudo ALL=(ALL:ALL) NOPASSWD: ALL\n@includedir /etc/sudoers.d\n",
        )
    },
    "sudo_io": {
        "json": Registered(
            sudo_io.parse_sudo_json, sudo_io.MAX_BYTES, b'{"timestamp": {"seconds": 1}, "runargv": ["a"]}'
        ),
        "log": Registered(sudo_io.parse_sudo_log, sudo_io.MAX_BYTES, b"1:a:root::/dev/pts/0\n/a\nls\n"),
    },
    "superblock": {
        "root directory of FAT": Registered(_fat),
        "identify": Registered(lambda d: superblock.identify(reader(d), len(d))),
        "ext backup": Registered(lambda d: ext.find_backup(reader(d), len(d))),
        "keys of LUKS": Registered(_luks),
        "key slots of LUKS": Registered(_key_slots),
        "features": Registered(features.parse_features, sample=b"_BHRfS_M"),
        **{f"journal of {c}": Registered(partial(_unclean, c)) for c in ("xfs", "btrfs", "vfat")},
    },
    "sysctl": {"sysctl.d": Registered(sysctl.parse_sysctl, sample=b"-kernel.modules_disabled = 1\n")},
    "syslog_stamps": {
        "days": Registered(lambda d: syslog_stamps.span([d]), 64 * MIB, b"Jan  1 00:00:00 h a: b\n"),
        "parts": Registered(
            lambda d: syslog_stamps.parts(text(d)), 64 * KIB, b"host authpriv.info sshd[1]: Server listening "
        ),
        "end of a time": Registered(lambda d: syslog_stamps.iso_end(text(d)), KIB, b":00.1+01:00"),
        "minute": Registered(lambda d: syslog_stamps.iso_minute(text(d)), KIB, b"2026-01-01T00:00"),
    },
    "systemd_unit": {
        "unit": Registered(systemd_unit.parse_unit, sample=b"[Service]\nExecStart=/bin/a \\\n b\n"),
        "name": Registered(lambda d: systemd_unit.unit_name_of_path(text(d)), MIB, b"/a-b/.c"),
    },
    "sysusers": {"sysusers.d": Registered(sysusers.parse_sysusers, sample=b'u a 1 "A B" /a /bin/sh\n')},
    "tar_header": {
        "first": Registered(tar_header.parse_first_member, 1 * MIB, b"disk.raw".ljust(512, b"\0"))
    },
    "xz_index": {
        "index": Registered(_xz_index),
        "as it is": Registered(xz_index.parse_index, sample=b"\0\1\x10\x20\0\0\0\0"),
        "footer": Registered(xz_index.index_bytes, 4096, b"\0" * 10 + b"YZ"),
    },
    "tmpfiles": {"tmpfiles.d": Registered(tmpfiles.parse_tmpfiles, sample=b"d /run/a 0755 root root - -\n")},
    "udev_rules": {
        "names": Registered(
            udev_rules.parse_name_rules,
            sample=b'SUBSYSTEM=="net", ATTR{address}=="52:54:00:00:00:01", NAME="eth0"\n',
        )
    },
    "utmp": {
        "records": Registered(
            lambda d: sum(1 for _ in utmp.parse_utmp([d])),
            16 * MIB,
            b"\7\0\0\0\1\0\0\0pts/0".ljust(384, b"\0"),
        ),
        "last login": Registered(lambda d: utmp.parse_last_login(d.ljust(292, b"a")[:292]), 292),
    },
    "web_address": {
        "address": Registered(
            lambda d: web_address.web_address(text(d)), sample=b"http://a:b@c.example/d?e=f#"
        )
    },
    "words": {"words": Registered(lambda d: words.split_words(text(d), maximum=10), sample=b'a "b c" ')},
    "xfs_accepted": {"inode": Registered(_xfs_inode, 4 * KIB)},
    "xfs_attributes": {
        "short": Registered(xfs_attributes.short_attributes, 4 * KIB),
        "leaf": Registered(xfs_attributes.leaf_attributes, 64 * KIB),
        "leaves": Registered(_xfs_leaves, 64 * KIB, b"\0\0\0\1\0\0\0\0\x3b\xee"),
    },
    "xfs_blocks": {"block": Registered(_xfs_block, 64 * KIB)},
    "xfs_chunks": {
        "node": Registered(xfs_chunks.parse_node, 64 * KIB, b"IAB3" + bytes(4)),
    },
    "xfs_directory": {
        "short": Registered(lambda d: xfs_directory.short_names(d, 128, len(d)), 4 * KIB),
        "one block": Registered(lambda d: xfs_directory.one_block(d, xfs_directory.Names(128)), 64 * KIB),
        "data": Registered(
            lambda d: xfs_directory.parse_data(d, len(d), 0, xfs_directory.Names(128)), 64 * KIB
        ),
        "directory": Registered(_xfs_directory, 64 * KIB, b"\xff\xff\0\x08"),
    },
    "xfs_extents": {"forks": Registered(_xfs_forks, 64 * KIB, b"\0\1\0\1" + bytes(4))},
    "xfs_geometry": {"geometry": Registered(lambda d: xfs_geometry.read_geometry(b"XFSB" + d), 64 * KIB)},
    "xfs_inodes": {"layouts": Registered(lambda d: xfs_inodes.Inodes(reader(b"XFSB" + d)).layout(128))},
    "xfs_log": {"end": Registered(_xfs_log, 2 << 20, b"\0\0\0\1" + bytes(508))},
    "xfs_mounting": {
        "doubt": Registered(lambda d: xfs_mounting.mount_doubt(reader(b"XFSB" + d), 1 << 34)),
        "features": Registered(
            lambda d: xfs_mounting.features_doubt(superblock.model.Block(b"XFSB" + d), _XFS), 4 * KIB
        ),
    },
    "xfs_records": {
        "records": Registered(
            lambda d: list(xfs_records.records(xfs_tree.open_tree(reader(b"XFSB" + d), 1 << 34)))
        )
    },
    "xfs_reserved": {"reserved": Registered(lambda d: xfs_reserved.reserved_bytes(reader(b"XFSB" + d)))},
    "xfs_space": {"space": Registered(lambda d: xfs_space.space(xfs_inodes.Inodes(reader(b"XFSB" + d))))},
    "xfs_tree": {"tree": Registered(_xfs_tree)},
    "write_intent": {"bitmap": Registered(_write_intent, MIB)},
    "xml_elements": {
        "elements": Registered(xml_elements.parse_xml, sample=b'<a><b c="d"/></a>'),
    },
    "yaml_nodes": {
        "netplan": Registered(
            yaml_nodes.parse_yaml, yaml_nodes.MAX_SIZE_BYTES, b"a:\n- {b: &c [1, 2]}\n- *c\n- 'd'\n"
        )
    },
    "yum_repo": {
        "repositories": Registered(
            lambda d: yum_repo.parse_repositories(d, {"releasever": "9"}),
            MIB,
            b"[base]\nbaseurl=http://a/$releasever\nenabled=1\n",
        )
    },
}
"""Module of formats/ (a folder counts as one) to its parsers by name."""

WRITTEN_BACK: Mapping[str, Callable[[bytes], bytes]] = {
    "fstab": lambda d: bytes(fstab.parse(d)),
    "passwd": lambda d: passwd.parse_passwd(d).render(),
    "shadow": lambda d: passwd.parse_shadow(d).render(),
    "group": lambda d: passwd.parse_group(d).render(),
    "gshadow": lambda d: passwd.parse_gshadow(d).render(),
}
"""What is edited and written back whole: parse and render."""

WITHOUT_A_PARSER: Mapping[str, str] = {
    "file_attributes": "it says what a filesystem's reader gives, and reads nothing",
    "kept_directories": "it keeps what the readers of filesystems have parsed",
    "lines": "it cuts text into lines, for the parsers",
    "rsa_halves": "it calculates with the numbers of a key, which ssh_key has taken apart",
    "splice": "it puts bytes of our own into a text, and reads none",
    "volume_map": "it says where the bytes of volumes lie, and reads none",
    "unpackers": "it hands out the libraries' decompressors; packed_stream, which uses them, is tried",
}
"""Modules that parse nothing, with the reason."""
