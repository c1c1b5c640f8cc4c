"""boot/kernel-setting: sysctl.d, modprobe.d and words on the command line."""

from __future__ import annotations

from dataclasses import replace

import pytest

from guestrepair.analyzers.base import Context, run_analyzer
from guestrepair.guest.devices import DeviceKind
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import Finding, GuestPath, Safety, Severity
from tests.unit.analyzers.boot_guest import (
    CHECKED,
    ERROR,
    MENU,
    NOTE,
    WARNING,
    brief,
    found,
    mended,
    with_entries,
    with_menu,
)
from tests.unit.analyzers.test_boot_rules import ROOT, VERSION

RULE = "kernel-setting"
HARDENED = "/etc/sysctl.d/99-hardened.conf"


def only(guest: MemoryGuest) -> Finding:
    (finding,) = found(guest)
    assert finding.rule == f"boot/{RULE}"
    return finding


# --- sysctl.d ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "kernel.modules_disabled=1\n",
        "# x\nkernel/modules_disabled = 1\n",
        "-kernel.modules_disabled = 1",
        "a.b=0\r\nkernel.modules_disabled=1\r\n",
    ],
)
def test_modules_forbidden_at_boot(text: str) -> None:
    guest = with_menu()
    guest.file(HARDENED, text)
    finding = only(guest)
    assert finding.severity is ERROR
    assert finding.subject.startswith(HARDENED)
    assert finding.repair is not None
    assert finding.repair.safety is Safety.REVIEW
    mended(guest, finding)
    assert b"# " in guest.nodes[GuestPath(HARDENED)].content
    assert found(guest) == []


@pytest.mark.parametrize(
    "files",
    [
        {HARDENED: "kernel.modules_disabled=0\n"},
        {HARDENED: "#kernel.modules_disabled=1\n;kernel.modules_disabled=1\n"},
        {HARDENED: "kernel.modules_disabled=1\n", "/etc/sysctl.d/zz.conf": "kernel.modules_disabled=0\n"},
        {HARDENED: "kernel.modules_disabled=1\nkernel.modules_disabled = 0\n"},
        {"/usr/lib/sysctl.d/50-x.conf": "kernel.modules_disabled=1\n", "/etc/sysctl.d/50-x.conf": ""},
        {"/etc/sysctl.d/x.conf.bak": "kernel.modules_disabled=1\n"},
        {"/etc/sysctl.conf": "kernel.modules_disabled=1\n"},  # systemd does not read it
        {HARDENED: "kernel.modules.disabled=1\nnet.ipv4.ip_forward=1\n"},
    ],
)
def test_what_does_not_count_or_forbids_nothing(files: dict[str, str]) -> None:
    guest = with_menu()
    for path, text in files.items():
        guest.file(path, text)
    assert found(guest) == []


def test_a_mask_a_link_and_inits_that_read_sysctl_conf() -> None:
    guest = with_menu()
    guest.file("/usr/lib/sysctl.d/50-x.conf", "kernel.modules_disabled=1\n")
    (finding,) = found(guest)
    assert finding.repair is not None
    assert finding.repair.safety is Safety.MANUAL  # a package's file
    guest.link("/etc/sysctl.d/50-x.conf", "/dev/null")
    assert found(guest) == []
    guest = with_menu()
    guest.file("/etc/sysctl.conf", "kernel.modules_disabled=1\n")
    guest.link("/etc/sysctl.d/99-sysctl.conf", "../sysctl.conf")
    assert only(guest).subject == "/etc/sysctl.conf:1"
    guest.remove("/etc/sysctl.d/99-sysctl.conf")
    guest.remove("/usr/lib/systemd")
    guest.remove("/sbin/init")
    guest.file("/sbin/init", b"x", mode=0o755)
    assert only(guest).subject == "/etc/sysctl.conf:1"


def test_a_kernel_without_modules_may_forbid_them() -> None:
    guest = with_menu()
    guest.file(HARDENED, "kernel.modules_disabled=1\n")
    guest.file(f"/lib/modules/{VERSION}/modules.dep", "\n")
    assert found(guest) == []
    guest.remove(f"/lib/modules/{VERSION}/modules.builtin")
    guest.file(f"/lib/modules/{VERSION}/modules.dep", "kernel/x.ko:\n")
    assert only(guest).severity is WARNING


@pytest.mark.parametrize(
    ("pages", "severity"),
    [
        ("128", None),
        ("512", NOTE),
        ("16384", NOTE),
        ("40000", WARNING),
        ("600000", ERROR),
        ("9" * 30, ERROR),
        ("x", None),
    ],
)
def test_huge_pages_where_the_memory_is_not_known(pages: str, severity: Severity | None) -> None:
    guest = with_menu()
    guest.file(HARDENED, f"vm.nr_hugepages = {pages}\n")
    assert brief(guest) == ([] if severity is None else [(RULE, severity)])
    if severity is not None:
        assert "is not known" in found(guest)[0].message


def test_huge_pages_of_a_gibibyte_and_a_log_that_tells_the_memory() -> None:
    guest = with_menu(words="ro default_hugepagesz=1G")
    guest.file(HARDENED, "vm.nr_hugepages=100\n")
    assert only(guest).severity is WARNING
    line = "Jan  1 00:00:00 g kernel: [    0.1] Memory: 1997704K/2096628K available (14339K kernel code)\n"
    guest.file("/var/log/kern.log", line)
    assert only(guest).severity is ERROR
    guest.file(HARDENED, "vm.nr_hugepages=1\n")
    assert found(guest) == []


def test_unreadable_settings() -> None:
    guest = with_menu()
    guest.file(HARDENED, "x=1\n").unreadable = "Input/output error"
    findings, inconclusive = run_analyzer(CHECKED, Context(guest))
    assert findings == []
    assert HARDENED in inconclusive[0].reason


# --- modprobe.d ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "severity"),
    [
        ("install ext4 /bin/false", ERROR),
        ("blacklist ext4", WARNING),
        ("blacklist virtio_blk", WARNING),
        ("install virtio-blk /bin/true", WARNING),
        ("blacklist virtio_blk\nblacklist nvme", ERROR),
        ("blacklist pcspkr", None),
        ("# install ext4 /bin/false", None),
        ("install ext4 /sbin/modprobe --ignore-install ext4", None),
    ],
)
def test_blocked_drivers(line: str, severity: Severity | None) -> None:
    guest = with_menu()
    path = "/etc/modprobe.d/x.conf"
    guest.file(path, line + "\n")
    assert {s for _, s in brief(guest)} == ({severity} if severity is not None else set())
    for _ in found(guest):
        finding = found(guest)[0]
        assert finding.repair is not None
        assert finding.repair.safety is Safety.REVIEW
        mended(guest, finding)
    assert found(guest) == []


def test_a_driver_that_is_built_in_cannot_be_blocked() -> None:
    guest = with_menu()
    guest.file("/etc/modprobe.d/x.conf", "install ext4 /bin/false\n")
    guest.file(f"/lib/modules/{VERSION}/modules.builtin", "kernel/fs/ext4/ext4.ko\n")
    assert found(guest) == []


def test_what_was_written_after_the_initramfs_works_at_its_next_rebuild() -> None:
    guest = with_menu()
    guest.file("/etc/modprobe.d/x.conf", "install ext4 /bin/false\n").mtime = 2000
    guest.nodes[GuestPath(f"/boot/initrd.img-{VERSION}")].mtime = 1000
    finding = only(guest)
    assert finding.severity is WARNING
    assert "next rebuild" in finding.message


# --- the command line -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "severity"),
    [
        ("single", ERROR), ("emergency", ERROR), ("rescue", ERROR), ("1", ERROR), ("S", ERROR),
        ("rd.break", ERROR), ("rd.break=pre-mount", ERROR), ("break=premount", ERROR),
        ("systemd.unit=emergency.target", ERROR), ("systemd.unit=rescue.target", ERROR),
        ("systemd.unit=gone.target", ERROR), ("systemd.unit=poweroff.target", ERROR),
        ("systemd.mask=ssh.service", ERROR), ("systemd.mask=sshd", ERROR),
        ("systemd.mask=NetworkManager.service", WARNING), ("init=/bin/bash", ERROR), ("init=/bin/sh", ERROR),
        ("init=/usr/lib/gone", ERROR), ("mem=64M", ERROR), ("mem=200M", WARNING), ("mem=65536k", ERROR),
        ("module_blacklist=ext4", ERROR), ("modprobe.blacklist=virtio_blk,nvme", ERROR),
        ("modprobe.blacklist=virtio-blk", WARNING), ("sysctl.kernel.modules_disabled=1", ERROR),
        ("systemd.confirm_spawn", ERROR), ("hugepages=600000", ERROR), ("rdinit=/bin/sh", ERROR),
        ("hugepagesz=1G hugepages=100", WARNING),
    ],
)  # fmt: skip
def test_words_that_keep_the_guest_down_are_taken_out(word: str, severity: Severity) -> None:
    guest = with_menu(words=f"ro {word} quiet")
    finding = only(guest)
    assert finding.severity is severity
    assert word.rsplit(maxsplit=1)[-1] in finding.message
    assert finding.repair is not None
    assert finding.repair.safety is Safety.REVIEW
    mended(guest, finding)
    rest = word.split(maxsplit=1)[0] + " quiet" if " " in word else "quiet"
    assert f"root=UUID={ROOT} ro {rest}\n".encode() in guest.nodes[GuestPath(MENU)].content
    assert found(guest) == []


HEALTHY = """
panic=30 quiet splash console=ttyS0,115200 systemd.unit=multi-user.target 3 5 rd.break=0 emergency=x
systemd.mask=lvm2-monitor.service mem=4G mem=nopentium init=/sbin/init init=/usr/lib/systemd/systemd
modprobe.blacklist=nouveau module_blacklist=pcspkr hugepages=128 crashkernel=256M single-tty=1 selinux=0
systemd.confirm_spawn=no sysctl.kernel.modules_disabled=0 apparmor=1 net.ifnames=0 rootwait maxcpus=2
rd.emergency=reboot fsck.mode=force nomodeset
"""


@pytest.mark.parametrize("word", HEALTHY.split())
def test_healthy_words(word: str) -> None:
    guest = with_menu(words=f"ro {word}")
    guest.file("/usr/lib/systemd/system/multi-user.target", "[Unit]\n")
    assert found(guest) == []


def test_what_a_rescue_entry_has_and_what_init_is_told_is_fine() -> None:
    guest = with_menu()
    text = guest.nodes[GuestPath(MENU)].content.decode()
    rescue = text.replace("set default=0\n", "").replace("'Debian'", "'Debian (recovery mode)'")
    guest.file(MENU, text + rescue.replace("ro quiet", "ro single").replace("gnulinux-1", "r"))
    assert found(guest) == []
    assert found(with_menu(words="ro -- single")) == []


def test_several_words_are_one_finding() -> None:
    guest = with_menu(words="ro single init=/bin/bash quiet")
    finding = only(guest)
    assert len(finding.evidence) == 2
    mended(guest, finding)
    assert found(guest) == []


def test_a_missing_init_where_the_initramfs_looks_for_another() -> None:
    guest = with_menu(words="ro init=/gone")
    assert only(guest).severity is ERROR
    guest.file("/usr/sbin/update-initramfs", b"x")
    assert only(guest).severity is WARNING
    guest.file("/gone", b"x")
    assert "cannot be run" in only(guest).message
    guest.file("/gone", b"x", mode=0o755)
    assert found(guest) == []
    guest = with_menu(words="ro init=/usr/lib/gone")
    guest.unmounted = (("/usr", "it is on none of the disks"),)
    findings, inconclusive = run_analyzer(CHECKED, Context(guest))
    assert findings == []
    assert inconclusive


def test_a_word_from_a_variable_is_left_to_a_person() -> None:
    guest = with_entries("$kernelopts", env=f"kernelopts=root=UUID={ROOT} ro single\n")
    finding = only(guest)
    assert finding.repair is not None
    assert finding.repair.safety is Safety.MANUAL


def test_a_target_without_systemd_and_a_volume_under_the_root() -> None:
    guest = with_menu(words="ro emergency rescue")
    guest.remove("/usr/lib/systemd")
    guest.remove("/sbin/init")
    guest.file("/sbin/init", b"x", mode=0o755)
    assert found(guest) == []
    guest = with_menu()
    first, root = guest.block.devices
    guest.block = replace(guest.block, devices=(first, replace(root, kind=DeviceKind.LOGICAL_VOLUME)))
    guest.devices["/dev/sda3"] = bytes(4096)
    dep = guest.nodes[GuestPath(f"/lib/modules/{VERSION}/modules.dep")]
    dep.content += b"kernel/md/dm-mod.ko:\n"
    guest.file("/etc/modprobe.d/x.conf", "blacklist dm_mod\n")
    assert [s for r, s in brief(guest) if r == RULE] == [ERROR]
