"""Overlays: the directories that they need, and the healthy ones of every form."""

from __future__ import annotations

import pytest

from guestrepair.guest.devices import Mount
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import EditFile, GuestPath, MakeDirectory, Safety, Severity
from tests.unit.analyzers.fstab_guest import (
    DATA,
    ESP,
    GONE,
    HEALTHY,
    analyze,
    findings,
    guest,
    part,
    repaired,
    usual,
)

DIRECTORIES = (
    "/lower",
    "/lower2",
    "/with:colon",
    "/with,comma",
    "/with space",
    "/srv/up",
    "/srv/work",
    "/app",
)


def made(options: str, more: str = "", *, target: str = "/app", kind: str = "overlay") -> MemoryGuest:
    """A guest with an overlay; ``more`` are lines before it."""
    found = guest(f"{HEALTHY}{more}{kind} {target} {kind} {options} 0 0\n", [*usual(), part(5, "xfs", DATA)])
    for path in DIRECTORIES:
        found.directory(path)
    found.link("/uplink", "/srv/up")
    found.file("/file", "x")
    return found


def judged(found: MemoryGuest) -> list[tuple[str, Severity]]:
    return [
        (f.rule, f.severity) for f in findings(found) if f.rule.endswith(("bad-option", "source-unknown"))
    ]


def changes(found: MemoryGuest) -> tuple[list[str], list[str]]:
    """The directories that the repair makes, and the options that it leaves on the line."""
    (finding,) = [f for f in findings(found) if f.rule == "fstab/bad-option"]
    assert finding.repair is not None
    made_ones = [str(c.path) for c in finding.repair.changes if isinstance(c, MakeDirectory)]
    after = [c.after.decode().split("\n")[-2] for c in finding.repair.changes if isinstance(c, EditFile)]
    return made_ones, after


BROKEN = [("fstab/bad-option", Severity.ERROR)]


@pytest.mark.parametrize(
    "options",
    [
        "lowerdir=/lower,upperdir=/srv/up,workdir=/srv/work",
        "lowerdir=/lower:/lower2",
        "ro,lowerdir=/lower:/lower2",
        "lowerdir=/lower:/lower2,workdir=/nowhere",  # of no use, and passed over
        r"lowerdir=/with\:colon:/lower,ro",
        r"lowerdir=/with\134:colon:/lower,ro",
        r"lowerdir=/with\,comma:/lower,ro",
        r"lowerdir=/with\040space:/lower,ro",
        "lowerdir=/lower::/lower2",
        "lowerdir+=/lower,lowerdir+=/lower2",
        "lowerdir=/lower,upperdir=/uplink,workdir=/srv/work",
        "lowerdir=/lower,upperdir=/srv/up/,workdir=/srv/work/,index=off,xino=auto,redirect_dir=on",
        "lowerdir=/app,upperdir=/srv/up,workdir=/srv/work,x-systemd.requires-mounts-for=/srv,nodev",
    ],
)
def test_healthy_overlays(options: str) -> None:
    assert judged(made(options)) == []


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("lowerdir=/lower,upperdir=/srv/up", "needs workdir="),
        ("lowerdir=/lower,upperdir=/srv/up,workdir=/srv/gone", "workdir /srv/gone is not there"),
        ("lowerdir=/lower,upperdir=/srv/gone,workdir=/srv/work", "upperdir /srv/gone is not there"),
        ("lowerdir=/gone,upperdir=/srv/up,workdir=/srv/work", "lowerdir /gone is not there"),
        ("lowerdir=/lower:/gone", "lowerdir /gone is not there"),
        ("lowerdir=/lower::/gone", "lowerdir /gone is not there"),
        ("lowerdir=/file,upperdir=/srv/up,workdir=/srv/work", "/file is no directory"),
        ("lowerdir=/lower,upperdir=/srv/up,workdir=/file", "/file is no directory"),
        ("upperdir=/srv/up,workdir=/srv/work", "needs lowerdir="),
        ("defaults", "needs lowerdir="),
        ("lowerdir=/lower", "needs two lower directories"),
        ("lowerdir=/lower,upperdir=/srv/up,workdir=/srv/up", "within each other"),
        ("lowerdir=/lower,upperdir=/uplink,workdir=/srv/up/x", "within each other"),
        ("lowerdir=/lower,uperdir=/srv/up,workdir=/srv/work", "no filesystem knows uperdir"),
        ("lowerdir=/lower,upperdir=/srv/up,workdir=/srv/work,subvol=@", "an option of btrfs"),
    ],
)
def test_bad_option_of_an_overlay(options: str, reason: str) -> None:
    found = made(options)
    if "/x" in options:
        found.directory("/srv/up/x")
    assert judged(found) == BROKEN
    (finding,) = [f for f in findings(found) if f.rule == "fstab/bad-option"]
    assert reason in finding.message
    assert finding.repair is not None
    assert finding.repair.safety is not Safety.SAFE
    assert (
        judged(made(options.replace("lowerdir", "nofail,lowerdir", 1) if "lowerdir" in options else "nofail"))
        == []
    )


@pytest.mark.parametrize(("release", "expected"), [("6.1.0", []), ("6.5.0", BROKEN), ("odd", [])])
def test_a_working_directory_of_no_use_must_be_there_for_newer_kernels(
    release: str, expected: list[tuple[str, Severity]]
) -> None:
    found = made("lowerdir=/lower:/lower2,workdir=/nowhere")
    found.file(f"/usr/lib/modules/{release}/modules.dep", "kernel/fs/ext4/ext4.ko:\nkernel/fs/fat/vfat.ko:\n")
    found.file(f"/usr/lib/modules/{release}/modules.builtin", "")
    assert judged(found) == expected


@pytest.mark.parametrize(
    ("release", "module", "expected"),
    [
        ("6.1.0", "overlay", BROKEN),
        ("4.4.0", "overlay", []),
        ("6.1.0", "overlayfs", []),
        ("odd", "overlay", []),
    ],
)
def test_the_old_name_of_the_type(release: str, module: str, expected: list[tuple[str, Severity]]) -> None:
    found = made("lowerdir=/lower,upperdir=/srv/up,workdir=/srv/work", kind="overlayfs")
    modules = f"kernel/fs/ext4/ext4.ko:\nkernel/fs/fat/vfat.ko:\nkernel/fs/overlayfs/{module}.ko:\n"
    found.file(f"/usr/lib/modules/{release}/modules.dep", modules)
    found.file(f"/usr/lib/modules/{release}/modules.builtin", "")
    assert judged(found) == expected
    if expected:
        right = "overlayfs /app overlay lowerdir=/lower,upperdir=/srv/up,workdir=/srv/work 0 0"
        assert changes(found) == ([], [right])


def test_the_working_directory_is_made_beside_the_upper_one() -> None:
    found = made("lowerdir=/lower,upperdir=/srv/up")
    assert changes(found) == (
        ["/srv/up.work"],
        ["overlay /app overlay lowerdir=/lower,upperdir=/srv/up,workdir=/srv/up.work 0 0"],
    )
    found.file("/etc/fstab", repaired(found, review=True))
    found.directory("/srv/up.work")
    assert judged(found) == []


def test_a_name_that_is_taken_is_not_used() -> None:
    found = made(r"lowerdir=/lower,upperdir=/with\040space")
    found.directory("/with space.work")
    assert changes(found) == (
        ["/with space.workdir"],
        [
            (
                r"overlay /app overlay lowerdir=/lower,upperdir=/with\040space,"
                r"workdir=/with\040space.workdir 0 0"
            )
        ],
    )


@pytest.mark.parametrize(
    ("options", "directories"),
    [
        ("lowerdir=/lower,upperdir=/srv/up,workdir=/srv/w", ["/srv/w"]),
        ("lowerdir=/lower,upperdir=/srv/u,workdir=/srv/w", ["/srv/u", "/srv/w"]),
        ("lowerdir=/lower,upperdir=/srv/u", ["/srv/u", "/srv/u.work"]),
    ],
)
def test_missing_directories_are_made(options: str, directories: list[str]) -> None:
    found = made(options)
    assert changes(found)[0] == directories
    found.file("/etc/fstab", repaired(found, review=True))
    for path in directories:
        found.directory(path)
    assert judged(found) == []


def test_a_lower_directory_is_never_made_up() -> None:
    found = made("lowerdir=/gone,upperdir=/srv/up,workdir=/srv/work")
    assert changes(found) == (
        [],
        [f"overlay /app overlay {'lowerdir=/gone,upperdir=/srv/up,workdir=/srv/work'},nofail 0 0"],
    )
    found = made("lowerdir=/gone:/lower", target="/var")
    (finding,) = [f for f in findings(found) if f.rule == "fstab/bad-option"]
    assert finding.repair is not None
    assert finding.repair.safety is Safety.MANUAL


def test_a_slip_in_a_name_is_corrected() -> None:
    found = made("lowerdir=/lower,uperdir=/srv/up,workdir=/srv/work")
    assert changes(found)[1] == [
        "overlay /app overlay lowerdir=/lower,upperdir=/srv/up,workdir=/srv/work 0 0"
    ]


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("libsystemd-shared-252.so", "lowerdir=/lower,upperdir=/srv/u,workdir=/srv/w", BROKEN),
        ("libsystemd-shared-256.7.so", "lowerdir=/lower,upperdir=/srv/u,workdir=/srv/w", []),
        ("libsystemd-shared-257-9.el10.so", "lowerdir=/lower,upperdir=/srv/u,workdir=/srv/w", []),
        ("libsystemd-shared-257.so", "lowerdir=/gone,upperdir=/srv/u,workdir=/srv/w", BROKEN),
        ("libsystemd-shared-257.so", "lowerdir=/lower,upperdir=/srv/u", BROKEN),
        ("libsystemd-shared-257.so", "lowerdir=/lower,upperdir=/file,workdir=/srv/w", BROKEN),
    ],
)
@pytest.mark.parametrize("folder", ["/usr/lib/systemd", "/usr/lib/x86_64-linux-gnu/systemd"])
def test_a_newer_systemd_makes_the_directories(
    name: str, options: str, expected: list[tuple[str, Severity]], folder: str
) -> None:
    found = made(options)
    found.file(f"{folder}/{name}", "")
    assert judged(found) == expected


# --- what is mounted over them ----------------------------------------------------------------

AWAY = f"UUID={DATA} /srv xfs defaults 0 0\n"


def test_directories_that_another_line_mounts_over_cannot_be_seen() -> None:
    note = [("fstab/source-unknown", Severity.NOTE)]
    options = "lowerdir=/lower,upperdir=/srv/u,workdir=/srv/w"
    assert judged(made(options, AWAY)) == note
    assert judged(made("lowerdir=/lower,upperdir=/run/u,workdir=/run/w")) == note
    assert judged(made(options, AWAY.replace("defaults", "nofail"))) == note
    assert judged(made(options, AWAY.replace("defaults", "noauto"))) == BROKEN


def test_directories_on_a_filesystem_that_is_mounted_here_are_seen() -> None:
    found = made("lowerdir=/lower,upperdir=/srv/u,workdir=/srv/work", AWAY)
    found.mounts = (*found.mounts, Mount("/dev/sda5", "/srv", "xfs"))
    assert judged(found) == BROKEN


@pytest.mark.parametrize(
    ("options", "more", "expected"),
    [
        ("lowerdir=/lower,upperdir=/srv/up,workdir=/lower2", AWAY, BROKEN),
        ("lowerdir=/lower,upperdir=/lower2,workdir=/srv/w", AWAY, BROKEN),
        ("lowerdir=/lower,upperdir=/lower2,workdir=/srv/w", "/home /srv none bind 0 0\n", BROKEN),
        ("lowerdir=/lower,upperdir=/srv/up,workdir=/srv/work", "", []),
        ("lowerdir=/lower,upperdir=/uplink,workdir=/srv/work", "", []),
        # With nofail it may not be there, and both are on the root then.
        ("lowerdir=/lower,upperdir=/lower2,workdir=/srv/work", AWAY.replace("defaults", "nofail"), None),
        ("lowerdir=/lower,upperdir=/boot/efi/u,workdir=/boot/efi/w", "", BROKEN),
        ("lowerdir=/lower,upperdir=/srv/u,workdir=/srv/w", AWAY.replace("defaults", "ro"), BROKEN),
        ("lowerdir=/app,upperdir=/app/.up,workdir=/app/.work", "", BROKEN),  # they are not there
    ],
)
def test_one_filesystem_for_both(
    options: str, more: str, expected: list[tuple[str, Severity]] | None
) -> None:
    found = made(options, more)
    assert ESP in HEALTHY
    assert judged(found) == ([("fstab/source-unknown", Severity.NOTE)] if expected is None else expected)


def test_layers_below_its_own_mount_point_are_seen() -> None:
    found = made("lowerdir=/app,upperdir=/app/.up,workdir=/app/.work")
    found.directory("/app/.up")
    found.directory("/app/.work")
    assert judged(found) == []


def test_a_read_only_root_holds_no_upper_layer() -> None:
    found = made("lowerdir=/lower,upperdir=/srv/up,workdir=/srv/work")
    found.file("/etc/fstab", found.nodes[GuestPath("/etc/fstab")].content.replace(b"errors=", b"ro,errors="))
    assert judged(found) == BROKEN


def test_the_overlay_of_the_root_is_the_initramfs_business() -> None:
    options = "lowerdir=/media/root-ro/,upperdir=/media/root-rw/o,workdir=/media/root-rw/w"
    line = f"/media/root-ro/ / overlay {options} 0 1\n"
    found = guest(line + "".join(HEALTHY.splitlines(keepends=True)[2:]))
    assert [f for f in findings(found) if f.severity is Severity.ERROR] == []


def test_an_overlay_over_what_cannot_be_read_is_inconclusive() -> None:
    found = made("lowerdir=/lower,upperdir=/srv/up,workdir=/srv/work")
    found.nodes[GuestPath("/srv/up")].unreadable = "Input/output error"
    _, inconclusive = analyze(found)
    assert inconclusive


def test_a_unit_of_an_overlay_is_judged_like_a_line() -> None:
    found = made("lowerdir=/lower:/lower2")
    found.file(
        "/etc/systemd/system/opt.mount",
        "[Mount]\nWhat=overlay\nWhere=/opt\nType=overlay\nOptions=lowerdir=/lower,upperdir=/srv/up\n",
    )
    found.directory("/opt")
    found.link("/etc/systemd/system/local-fs.target.requires/opt.mount", "../opt.mount")
    assert judged(found) == BROKEN
    assert GONE
