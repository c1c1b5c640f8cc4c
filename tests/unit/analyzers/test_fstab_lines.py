"""Everything but the source: form, encoding, types, options, mount points, lines among each other."""

from __future__ import annotations

from dataclasses import replace

import pytest

from guestrepair.guest.devices import Mount
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import GuestPath, MakeDirectory, Safety, Severity
from tests.unit.analyzers.fstab_guest import (
    DATA,
    ESP,
    GONE,
    HEALTHY,
    HOME,
    ROOT,
    SWAP,
    analyze,
    check_repair,
    ext,
    findings,
    guest,
    part,
    repaired,
    rules,
    text_of,
    usual,
)

DATA_LINE = f"UUID={DATA} /data ext4 defaults 0 2\n"


def with_data(text: str, content: str = "ext4") -> MemoryGuest:
    return guest(text, [*usual(), part(5, content, DATA, label="a b")])


# --- malformed lines --------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "right"),
    [
        (f'UUID="{DATA}" TYPE="ext4" /data ext4 defaults 0 2', f'UUID="{DATA}" /data ext4 defaults 0 2'),
        (
            f'/dev/sda5: UUID="{DATA}" BLOCK_SIZE="4096" TYPE="ext4" PARTUUID="x-05" /data ext4 defaults 0 2',
            f'UUID="{DATA}" /data ext4 defaults 0 2',
        ),
        (
            f'/dev/sda5: LABEL="a b" UUID="{DATA}" TYPE="ext4"   /data ext4 defaults 0 2',
            f'UUID="{DATA}"   /data ext4 defaults 0 2',
        ),
        (f"UUID={DATA} /data ext4 defaults, noatime 0 2", f"UUID={DATA} /data ext4 defaults,noatime 0 2"),
        (f"UUID={DATA} /data ext4 rw ,noatime 0 2", f"UUID={DATA} /data ext4 rw,noatime 0 2"),
        (f"UUID={DATA} /data ext4 noatime nodev 0 2", f"UUID={DATA} /data ext4 noatime,nodev 0 2"),
        (f"UUID={DATA} /data ext4 defaults # mine", f"UUID={DATA} /data ext4 defaults"),
        (f"UUID={DATA} /data ext4 defaults 0 2# mine", f"UUID={DATA} /data ext4 defaults 0 2"),
        (f"UUID={DATA} /data ext4 defaults 0 O", f"UUID={DATA} /data ext4 defaults 0 0"),
        (f"UUID={DATA} /data", f"UUID={DATA} /data ext4 defaults 0 2"),
        (f"UUID={DATA} /data ext4 0 2", f"UUID={DATA} /data ext4 defaults 0 2"),
        (f"UUID={DATA} /data defaults 0 2", f"UUID={DATA} /data ext4 defaults 0 2"),
        (f"UUID={DATA} /data ext 4 noatime 0 2", f"UUID={DATA} /data ext4 noatime 0 2"),
        (f"UUID= {DATA} /data ext4 noatime 0 2", f"UUID={DATA} /data ext4 noatime 0 2"),
        (f"UUID =\t{DATA} /data ext4 noatime 0 2", f"UUID={DATA} /data ext4 noatime 0 2"),
        (f"/data  UUID={DATA} ext4 noatime 0 2", f"UUID={DATA}  /data ext4 noatime 0 2"),
        (f"UUID={DATA} data ext4 noatime 0 2", f"UUID={DATA} /data ext4 noatime 0 2"),
        ("LABEL=a b /data ext4 defaults 0 2", r"LABEL=a\040b /data ext4 defaults 0 2"),
        ('LABEL="a b" /data ext4 defaults 0 2', r"LABEL=a\040b /data ext4 defaults 0 2"),
        (f"UUID={DATA} /srv/my data ext4 defaults 0 2", rf"UUID={DATA} /srv/my\040data ext4 defaults 0 2"),
        ("garbage", "#guestrepair: garbage"),
        ("this is no line at all", "#guestrepair: this is no line at all"),
        ("<<<<<<< HEAD", "#guestrepair: <<<<<<< HEAD"),
        ("\t mount everything!", "#guestrepair: \t mount everything!"),
        # A path or a source among the options was never one of them.
        (
            f"UUID={DATA} /mnt ext4 /data noatime 0 2",
            f"#guestrepair: UUID={DATA} /mnt ext4 /data noatime 0 2",
        ),
    ],
)
def test_malformed_line(line: str, right: str) -> None:
    made = with_data(f"{line}\n{HEALTHY}")
    made.directory("/srv/my data")
    assert rules(made) == [("malformed-line", "1")]
    check_repair(made, f"{right}\n{HEALTHY}")


@pytest.mark.parametrize(
    "line",
    [
        f'UUID="{ROOT}" TYPE="ext4"',
        f"UUID={ROOT} / ext4 errors=remount-ro 0 x y",
        f"UUID={ROOT} /",
        "/ ext4",
        f'/dev/sda3: UUID="{ROOT}" BLOCK_SIZE="4096" TYPE="ext4" PARTUUID="c1"',
        f"{ROOT} / ext4 errors = remount-ro 0 1",
    ],
)
def test_the_line_of_the_root_is_rebuilt_and_never_commented_out(line: str) -> None:
    text = HEALTHY.replace(HEALTHY.splitlines()[1], line)
    made = guest(text)
    assert ("malformed-line", "2") in rules(made)
    after = repaired(made)
    lines = after.splitlines()
    assert lines[1].split()[:3] == [f"UUID={ROOT}", "/", "ext4"]
    assert lines[0:1] + lines[2:] == HEALTHY.splitlines()[0:1] + HEALTHY.splitlines()[2:]
    made.file("/etc/fstab", after)
    assert rules(made) == []


def test_what_else_is_wrong_with_a_malformed_line_is_repaired_with_it() -> None:
    text = HEALTHY + f'UUID="{GONE}" TYPE="ext4" /home ext4 defaults 0 2\n'
    made = guest(text, [*usual(), part(5, "ext4", HOME, label="home")])
    assert rules(made) == [("malformed-line", "5")]
    check_repair(made, HEALTHY + f'UUID="{HOME}" /home ext4 defaults 0 2\n')


def test_what_cannot_be_repaired_with_it_is_told_beforehand() -> None:
    made = guest(HEALTHY + f"UUID={GONE} /data xfs defaults, nodev 0 0\n")
    assert rules(made) == [("malformed-line", "5"), ("source-not-found", "5")]
    assert repaired(made) == HEALTHY + f"UUID={GONE} /data xfs defaults,nodev 0 0\n"


def test_lines_after_a_mended_one_keep_their_bytes() -> None:
    text = f'UUID="{DATA}" TYPE="ext4" /data ext4 defaults 0 2\n' + HEALTHY.replace(SWAP, GONE)
    check_repair(with_data(text), f'UUID="{DATA}" /data ext4 defaults 0 2\n{HEALTHY}')


# --- encoding ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbf" + HEALTHY.encode(),
        HEALTHY.replace("\n", "\r\n").encode(),
        HEALTHY.replace("0 1\n", "0 1\r\n", 1).encode(),
        b"\xef\xbb\xbf" + HEALTHY.replace("\n", "\r\n").encode().removesuffix(b"\r\n"),
        HEALTHY.encode("utf-16"),
        HEALTHY.replace("/boot", "/bo\0ot").encode() + b"\0" * 40,
    ],
)
def test_bad_encoding(data: bytes) -> None:
    made = guest(data)
    (finding,) = findings(made)
    assert (finding.rule, finding.severity, finding.subject) == (
        "fstab/bad-encoding",
        Severity.ERROR,
        "/etc/fstab",
    )
    check_repair(made, HEALTHY)


def test_a_missing_final_newline_is_a_warning() -> None:
    made = guest(HEALTHY.removesuffix("\n"))
    assert [(f.rule, f.severity) for f in findings(made)] == [("fstab/bad-encoding", Severity.WARNING)]
    check_repair(made, HEALTHY)


@pytest.mark.parametrize("encode", ["crlf", "utf-16", "nul", "no-newline"])
def test_encoding_and_other_faults_together(encode: str) -> None:
    text = HEALTHY.replace(ESP, "0000-0000").replace(SWAP, GONE) + "garbage\n"
    data = {
        "crlf": text.replace("\n", "\r\n").encode(),
        "utf-16": text.encode("utf-16"),
        "nul": text.encode() + b"\0\0\0",
        "no-newline": text.removesuffix("\n").encode(),
    }[encode]
    check_repair(guest(data), HEALTHY + "#guestrepair: garbage\n")


# --- missing ---------------------------------------------------------------------------


@pytest.mark.parametrize("data", [None, b"\0" * 512])
def test_missing_is_written_anew(data: bytes | None) -> None:
    devices = [*usual(), part(5, "ext4", HOME, ext=ext("/home")), part(6, "xfs", DATA)]
    made = guest(data, devices)
    (finding,) = findings(made)
    assert (finding.rule, finding.severity) == ("fstab/missing", Severity.ERROR)
    assert finding.repair is not None
    assert finding.repair.safety is Safety.REVIEW
    after = repaired(made, review=True)
    assert [line.split()[:3] for line in after.splitlines()] == [
        [f"UUID={ROOT}", "/", "ext4"],
        [f"UUID={ESP}", "/boot/efi", "vfat"],
        [f"UUID={HOME}", "/home", "ext4"],
        [f"UUID={SWAP}", "none", "swap"],
    ]
    made.file("/etc/fstab", after)
    assert findings(made) == []


def test_missing_is_copied_from_a_backup_whose_sources_exist() -> None:
    made = guest(None)
    made.file("/etc/fstab.bak", HEALTHY.replace(ROOT, GONE))
    made.file("/etc/fstab-", HEALTHY)
    assert repaired(made, review=True) == HEALTHY


def test_an_image_built_without_a_table_is_a_note() -> None:
    made = guest(None)
    made.file("/boot/grub/grub.cfg", f"menuentry 'x' {{\n linux /vmlinuz root=UUID={ROOT} rw\n}}\n")
    assert [(f.rule, f.severity) for f in findings(made)] == [("fstab/missing", Severity.NOTE)]


def test_unreadable_is_inconclusive() -> None:
    made = guest(HEALTHY)
    made.nodes[GuestPath("/etc/fstab")].unreadable = "input/output error"
    found, inconclusive = analyze(made)
    assert found == []
    assert inconclusive


# --- root --------------------------------------------------------------------------------


def test_root_mismatch_without_a_line_for_the_root() -> None:
    lines = HEALTHY.splitlines(keepends=True)
    made = guest("".join([lines[0], *lines[2:]]))
    assert rules(made) == [("root-mismatch", "/etc/fstab")]
    check_repair(made, "".join([lines[0], *lines[2:]]) + f"UUID={ROOT} / ext4 defaults 0 1\n")


def test_no_line_for_the_root_is_needed_where_the_loader_says_rw() -> None:
    lines = HEALTHY.splitlines(keepends=True)
    made = guest("".join([lines[0], *lines[2:]]))
    made.file("/boot/grub/grub.cfg", f"menuentry 'x' {{\n linux /vmlinuz root=UUID={ROOT} rw\n}}\n")
    assert findings(made) == []


# --- types and options ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "content"), [("ext4", "xfs"), ("xfs", "ext4"), ("ext3", "ext4"), ("etx4", "ext4")]
)
def test_wrong_type(written: str, content: str) -> None:
    made = with_data(HEALTHY + DATA_LINE.replace("ext4", written), content)
    assert rules(made) == [("wrong-type", "5")]
    check_repair(made, HEALTHY + DATA_LINE.replace("ext4", content))


@pytest.mark.parametrize(
    ("written", "content"),
    [("auto", "xfs"), ("ext4", "ext3"), ("ntfs3", "ntfs"), ("ntfs-3g", "ntfs"), ("xfs,ext4", "ext4")],
)
def test_types_that_fit(written: str, content: str) -> None:
    assert rules(with_data(HEALTHY + DATA_LINE.replace("ext4", written), content)) == []


def test_unsupported_type_without_a_driver() -> None:
    made = with_data(HEALTHY + DATA_LINE.replace("ext4", "xfs"), "xfs")
    made.file("/usr/lib/modules/6.1/modules.dep", "kernel/fs/fat/vfat.ko:\n")
    made.file("/usr/lib/modules/6.1/modules.builtin", "kernel/fs/ext4/ext4.ko\n")
    (finding,) = [f for f in findings(made) if f.severity != "note"]
    assert (finding.rule, finding.subject) == ("fstab/unsupported-type", "/etc/fstab:5")
    made.file("/usr/lib/modules/6.5/modules.dep", "kernel/fs/xfs/xfs.ko.xz: kernel/lib/crc.ko\n")
    made.file("/usr/lib/modules/6.5/modules.builtin", "")
    assert rules(made) == []


@pytest.mark.parametrize("rule", ["blacklist vfat", "install vfat /bin/true"])
def test_unsupported_type_by_modprobe(rule: str) -> None:
    made = guest(HEALTHY)
    made.file("/lib/modules/6.1/modules.dep", "kernel/fs/fat/vfat.ko:\nkernel/fs/ext4/ext4.ko:\n")
    made.file("/lib/modules/6.1/modules.builtin", "")
    assert rules(made) == []
    made.file("/etc/modprobe.d/hardening.conf", f"# x\n{rule}\n")
    assert rules(made) == [("unsupported-type", "3")]
    made.file("/lib/modules/6.1/modules.builtin", "kernel/fs/fat/vfat.ko\n")
    assert rules(made) == []


@pytest.mark.parametrize(
    ("fs_type", "written", "right"),
    [
        ("xfs", "defaults,errors=remount-ro", "defaults"),
        ("xfs", "errors=remount-ro", "defaults"),
        ("ext4", "noatime,subvol=@home,nodev", "noatime,nodev"),
        ("ext4", "errors=remount_ro", "errors=remount-ro"),
        ("ext4", "defualts,noatime", "defaults,noatime"),
        ("ext4", "noatme", "noatime"),
        ("ext4", "data=orderd", "data=ordered"),
        ("ext4", "umask=0077", "defaults"),
        ("btrfs", "compress=zstd:3,errors=remount-ro", "compress=zstd:3"),
        ("vfat", "umask=0077,data=ordered", "umask=0077"),
        ("swap", "sw,pri=high", "sw"),
        ("swap", "sw,discard=ones", "sw,discard"),
    ],
)
def test_bad_option(fs_type: str, written: str, right: str) -> None:
    target = "none" if fs_type == "swap" else "/data"
    line = f"UUID={DATA} {target} {fs_type} OPTIONS 0 0\n"
    made = with_data(HEALTHY + line.replace("OPTIONS", written), fs_type)
    assert rules(made) == [("bad-option", "5")]
    check_repair(made, HEALTHY + line.replace("OPTIONS", right))


@pytest.mark.parametrize(
    ("fs_type", "options"),
    [
        ("ext4", "defaults,noatime,errors=remount-ro,data=ordered,commit=60,discard,x-systemd.growfs"),
        ("ext4", "rw,relatime,stripe=64,usrquota,grpquota,usrjquota=aquota.user,jqfmt=vfsv0,acl,user_xattr"),
        ("ext4", 'context="system_u:object_r:tmp_t:s0",nodev,nosuid,user,comment=mine,barrier=0'),
        ("xfs", "defaults,inode64,logbufs=8,logbsize=256k,uquota,prjquota,noquota,nouuid,allocsize=64m"),
        ("btrfs", "subvolid=257,compress-force=zstd:15,space_cache=v2,ssd,discard=async,autodefrag,rw"),
        ("vfat", "umask=0077,shortname=winnt,utf8,codepage=437,iocharset=ascii,errors=remount-ro,flush"),
        ("swap", "sw,pri=-1,discard=once,nofail"),
        ("f2fs", "whatever=1,defualts"),
    ],
)
def test_options_that_are_right_or_not_known_here(fs_type: str, options: str) -> None:
    target = "none" if fs_type == "swap" else "/data"
    assert rules(with_data(HEALTHY + f"UUID={DATA} {target} {fs_type} {options} 0 0\n", fs_type)) == []


def test_a_misspelled_nofail() -> None:
    made = with_data(HEALTHY + DATA_LINE.replace("defaults", "defaults,nofial"))
    check_repair(made, HEALTHY + DATA_LINE.replace("defaults", "defaults,nofail"))


# --- mount points ------------------------------------------------------------------------------


def test_target_missing() -> None:
    made = with_data(HEALTHY + DATA_LINE.replace("/data", "/data/new"))
    (finding,) = findings(made)
    assert (finding.rule, finding.severity) == ("fstab/target-missing", Severity.WARNING)
    assert finding.repair is not None
    assert finding.repair.changes == (MakeDirectory(path=GuestPath("/data/new"), mode=0o755),)
    made.remove("/usr/lib/systemd/systemd")
    assert findings(made)[0].severity is Severity.ERROR


def test_target_missing_because_a_file_is_there() -> None:
    made = with_data(HEALTHY + DATA_LINE.replace("/data", "/data/new"))
    made.file("/data/new", "x")
    (finding,) = findings(made)
    assert (finding.rule, finding.severity) == ("fstab/target-missing", Severity.ERROR)
    assert finding.repair is not None
    assert finding.repair.safety is Safety.MANUAL


def test_a_target_on_a_filesystem_that_is_not_mounted_here_is_not_judged() -> None:
    devices = [*usual(), part(5, "ext4", DATA), part(6, "ext4", HOME)]
    made = guest(HEALTHY + DATA_LINE + f"UUID={HOME} /data/inner ext4 defaults 0 2\n", devices)
    assert rules(made) == []
    made.mounts = (*made.mounts, Mount("/dev/sda5", "/data", "ext4"))
    assert rules(made) == [("target-missing", "6")]


def test_duplicate_target_an_identical_copy() -> None:
    made = guest(HEALTHY + HEALTHY.splitlines()[2] + "\n")
    assert rules(made) == [("duplicate-target", "5")]
    check_repair(made, HEALTHY + "#guestrepair: " + HEALTHY.splitlines()[2] + "\n")


def test_duplicate_target_by_another_name_of_the_same_device() -> None:
    devices = usual()
    devices[1] = replace(devices[1], label="EFI")
    line = "LABEL=EFI /boot/efi vfat umask=0077,defaults 0 2\n"
    check_repair(guest(HEALTHY + line, devices), HEALTHY + "#guestrepair: " + line)


def test_duplicate_target_that_only_a_person_can_decide() -> None:
    made = with_data(HEALTHY + DATA_LINE + DATA_LINE.replace(DATA, SWAP).replace("ext4", "auto"))
    (finding,) = [f for f in findings(made) if f.rule == "fstab/duplicate-target"]
    assert finding.repair is not None
    assert finding.repair.safety is Safety.MANUAL


def test_of_two_lines_the_one_without_a_device_goes() -> None:
    wrong = DATA_LINE.replace(DATA, GONE)
    check_repair(with_data(HEALTHY + wrong + DATA_LINE), HEALTHY + f"#guestrepair: {wrong}{DATA_LINE}")


def test_order() -> None:
    inner = f"UUID={HOME} /data/inner ext4 defaults 0 2\n"
    devices = [*usual(), part(5, "ext4", DATA), part(6, "ext4", HOME)]
    made = guest(HEALTHY + inner + "# between\n" + DATA_LINE, devices)
    assert rules(made) == [("order", "5")]
    check_repair(made, HEALTHY + DATA_LINE + "# between\n" + inner)


@pytest.mark.parametrize("malformed", [5, 6])
def test_order_waits_for_the_repair_of_malformed_lines(malformed: int) -> None:
    lines = HEALTHY + f"UUID={HOME} /data/inner ext4 defaults 0 2\n" + DATA_LINE
    parts = lines.splitlines(keepends=True)
    parts[malformed - 1] = parts[malformed - 1].replace("defaults", "defaults,nodev")
    right = "".join(parts)
    made = guest(right.replace(",nodev", ", nodev"), [*usual(), part(5, "ext4", DATA), part(6, "ext4", HOME)])
    order = next(f for f in findings(made) if f.rule == "fstab/order")
    assert repaired(made) == right
    assert order.repair is not None
    assert (order.repair.safety, order.repair.summary) == (Safety.MANUAL, "repair the malformed lines first")


def test_reserved_target() -> None:
    line = DATA_LINE.replace("/data", "/proc")
    made = with_data(HEALTHY + line)
    assert rules(made) == [("reserved-target", "5")]
    check_repair(made, HEALTHY + "#guestrepair: " + line)


@pytest.mark.parametrize(
    ("line", "right"),
    [
        (DATA_LINE.replace("ext4", "xfs"), DATA_LINE.replace("ext4", "xfs").replace("0 2", "0 0")),
        (HEALTHY.splitlines()[1], ""),
    ],
)
def test_passno(line: str, right: str) -> None:
    if right:
        made = with_data(HEALTHY + line, "xfs")
        expected = HEALTHY + right
    else:
        made = guest(HEALTHY.replace(line, line[:-1] + "2"))
        expected = HEALTHY
    (finding,) = findings(made)
    assert (finding.rule, finding.severity) == ("fstab/passno", Severity.NOTE)
    assert repaired(made) == text_of(made)
    assert repaired(made, review=True) == expected


def test_netdev() -> None:
    made = guest(HEALTHY + "s3fs#bucket /mnt fuse.s3fs allow_other 0 0\n")
    assert rules(made) == [("netdev", "5")]
    check_repair(made, HEALTHY + "s3fs#bucket /mnt fuse.s3fs allow_other,_netdev 0 0\n")


@pytest.mark.parametrize(
    ("line", "after"),
    [
        ("/swapfile none swap sw 0 0", "/swapfile none swap sw,nofail 0 0"),
        ("/srv/src /mnt none bind 0 0", "/srv/src /mnt none bind,nofail 0 0"),
        ("/srv/x.iso /mnt iso9660 loop,ro 0 0", "/srv/x.iso /mnt iso9660 loop,ro,nofail 0 0"),
    ],
)
def test_bind_source(line: str, after: str) -> None:
    made = guest(f"{HEALTHY}{line}\n")
    assert rules(made) == [("bind-source", "5")]
    check_repair(made, f"{HEALTHY}{after}\n")
    for path in ("/swapfile", "/srv/src", "/srv/x.iso"):
        made.file(path, "x")
    made.directory("/srv/src")
    made.file("/etc/fstab", f"{HEALTHY}{line}\n")
    assert rules(made) == []


# --- several findings on one line ----------------------------------------------------------------


def test_each_field_of_a_line_is_repaired_by_itself() -> None:
    line = f"UUID={GONE}\t/home   xfs   defualts,errors=remount-ro\t0 2   # kept as it is\n"
    made = guest(HEALTHY + line, [*usual(), part(5, "ext4", HOME, label="home", ext=ext("/home"))])
    found = {r for r, _ in rules(made)}
    assert "source-not-found" in found or "wrong-type" in found
    after = repaired(made)
    made.file("/etc/fstab", after)
    assert after.endswith("0 2   # kept as it is\n")
    assert HEALTHY in after


@pytest.mark.parametrize("blank", ["\u00a0", "\u2003", " \u200b", " \ufeff"])
def test_bad_encoding_of_blanks_that_are_none(blank: str) -> None:
    """As pasted from a web page: no comment is touched, and no other byte."""
    healthy = HEALTHY + "# caf\u00e9\u00a0au lait\n"
    made = guest(healthy.replace(f"UUID={SWAP} ", f"UUID={SWAP}{blank}").encode())
    assert rules(made) == [("bad-encoding", "/etc/fstab")]
    check_repair(made, healthy)


def test_missing_when_a_directory_has_the_name() -> None:
    made = guest(None)
    made.directory("/etc/fstab")
    (finding,) = findings(made)
    assert (finding.rule, finding.severity) == ("fstab/missing", Severity.ERROR)
    assert finding.repair is not None
    assert finding.repair.safety is Safety.MANUAL


def test_malformed_line_whose_directory_is_not_there_gets_both_repairs() -> None:
    made = with_data(f'{HEALTHY}UUID="{DATA}" TYPE="ext4" /nowhere ext4 defaults 0 2\n')
    malformed, missing = findings(made)
    assert (malformed.rule, missing.rule) == ("fstab/malformed-line", "fstab/target-missing")
    assert missing.repair is not None
    assert missing.repair.safety is Safety.SAFE


@pytest.mark.parametrize(
    ("options", "right"),
    [
        ("subvol=@data,subvolid=300", "subvol=@data,subvolid=300"),
        ("subvol=/@data,subvolid=299", "subvol=/@data,subvolid=300"),
        ("subvolid=300,compress=zstd", "subvolid=300,compress=zstd"),
        ("subvolid=5", "subvolid=5"),
        ("subvolid=0", "subvolid=0"),
        ("subvolid=999", ""),
    ],
)
def test_bad_option_subvolid(options: str, right: str) -> None:
    """The number of no subvolume, or of another one than the path, is refused by the kernel."""
    volume = part(5, "btrfs", DATA, subvolumes=("@", "@data"), subvolume_ids=(256, 300))
    made = guest(f"{HEALTHY}UUID={DATA} /data btrfs {options} 0 0\n", [*usual(), volume])
    if options == right:
        assert rules(made) == []
        return
    (finding,) = findings(made)
    assert (finding.rule, finding.severity) == ("fstab/bad-option", Severity.ERROR)
    if right:
        check_repair(made, f"{HEALTHY}UUID={DATA} /data btrfs {right} 0 0\n")
    else:
        assert finding.repair is not None
        assert finding.repair.safety is Safety.MANUAL


@pytest.mark.parametrize(
    ("release", "refused"), [("3.10.0-1160.el7", False), ("4.18.0-553.el8", False), ("5.14.0-427.el9", True)]
)
def test_bad_option_that_newer_kernels_removed(release: str, refused: bool) -> None:
    text = f"{HEALTHY}UUID={DATA} /data xfs defaults,nobarrier,inode64 0 0\n"
    made = with_data(text, "xfs")
    assert rules(made) == []  # without a kernel's release nothing is certain
    made.file(f"/usr/lib/modules/{release}/modules.dep", "kernel/fs/xfs/xfs.ko:\nkernel/fs/fat/vfat.ko:\n")
    made.file(f"/usr/lib/modules/{release}/modules.builtin", "kernel/fs/ext4/ext4.ko\n")
    assert rules(made) == ([("bad-option", "5")] if refused else [])
    if refused:
        check_repair(made, text.replace("nobarrier,", ""))
