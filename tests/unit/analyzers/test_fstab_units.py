"""Mount and swap units that systemd refuses for their name."""

from __future__ import annotations

import pytest

from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import (
    Effect,
    Finding,
    GuestPath,
    MakeLink,
    RemoveFile,
    Repair,
    Safety,
    Severity,
    WriteFile,
)
from tests.unit.analyzers.fstab_guest import DATA, HEALTHY, analyze, findings, guest, part, usual

OWN = "/etc/systemd/system"
ERROR, WARNING = Severity.ERROR, Severity.WARNING


def made(
    name: str, where: str, *, by: str = "local-fs.target.requires", section: str = "Mount"
) -> MemoryGuest:
    """A guest with one unit, started by ``by`` (nothing: ""); its device and its place are there."""
    found = guest(HEALTHY, [*usual(), part(5, "ext4", DATA)])
    text = f"[Unit]\nDescription=data\n\n[Mount]\nWhat=/dev/disk/by-uuid/{DATA}\nWhere={where}\nType=ext4\n"
    if section == "Swap":
        text = f"[Swap]\nWhat={where}\n"
    elif section == "Automount":
        text = f"[Automount]\nWhere={where}\n"
    for path in ("/srv/data", "/srv/my-data", "/run"):
        found.directory(path)
    found.link("/var/run", "/run")
    found.link("/media/data", "/srv/data")
    found.file("/swapfile", "")
    found.file(f"{OWN}/{name}", text)
    if by:
        found.link(f"{OWN}/{by}/{name}", f"../{name}")
    return found


def of_units(found: MemoryGuest) -> list[Finding]:
    return [f for f in findings(found) if f.rule == "fstab/mount-unit"]


@pytest.mark.parametrize(
    ("name", "where", "right"),
    [
        ("data.mount", "/srv/data", "srv-data.mount"),
        ("srv-my-data.mount", "/srv/my-data", r"srv-my\x2ddata.mount"),
        ("srv_data.mount", "/srv/data", "srv-data.mount"),
        ("srv-data.mount", "/srv/data2", "srv-data2.mount"),
        ("srv-daten.mount", "/srv/dáten", r"srv-d\xc3\xa1ten.mount"),
        ("data.mount", "/.hidden", r"\x2ehidden.mount"),
    ],
)
def test_mount_unit_that_has_not_the_name_of_its_place(name: str, where: str, right: str) -> None:
    (finding,) = of_units(made(name, where))
    assert (finding.severity, finding.subject) == (WARNING, f"{OWN}/{name}:6")
    assert finding.effect is Effect.DEGRADES
    assert right in finding.message


def test_the_unit_and_its_links_are_renamed() -> None:
    found = made("data.mount", "/srv/data")
    before = found.nodes[GuestPath(f"{OWN}/data.mount")].content
    (finding,) = of_units(found)
    assert finding.repair is not None
    assert finding.repair.safety is Safety.REVIEW
    assert finding.repair.changes == (
        WriteFile(path=GuestPath(f"{OWN}/srv-data.mount"), before=None, after=before),
        MakeLink(
            path=GuestPath(f"{OWN}/local-fs.target.requires/srv-data.mount"), target="../srv-data.mount"
        ),
        RemoveFile(path=GuestPath(f"{OWN}/local-fs.target.requires/data.mount"), backup=False),
        RemoveFile(path=GuestPath(f"{OWN}/data.mount")),
    )
    repaired = made("srv-data.mount", "/srv/data")
    assert repaired.nodes[GuestPath(f"{OWN}/srv-data.mount")].content == before
    assert of_units(repaired) == []


@pytest.mark.parametrize(
    ("name", "where", "by", "section"),
    [
        ("srv-data.mount", "/srv/data", "local-fs.target.requires", "Mount"),
        ("srv-data.mount", "/srv/data/", "local-fs.target.requires", "Mount"),
        ("srv-data.mount", "//srv//data", "local-fs.target.requires", "Mount"),
        (r"srv-my\x2ddata.mount", "/srv/my-data", "local-fs.target.requires", "Mount"),
        ("srv-data.mount", "", "local-fs.target.requires", "Mount"),  # its name says it
        ("srv-data.mount", "/srv/%i", "local-fs.target.requires", "Mount"),
        ("data.mount", "/srv/data", "", "Mount"),  # nothing starts it
        ("data.mount", "/srv/data", "backup.service.requires", "Mount"),  # not at boot
        ("srv-data.automount", "/srv/data", "local-fs.target.requires", "Automount"),
        ("swapfile.swap", "/swapfile", "swap.target.requires", "Swap"),
        (r"dev-disk-by\x2duuid-0\x2d1.swap", "/dev/disk/by-uuid/0-1", "swap.target.wants", "Swap"),
        ("srv-new.mount", "/srv/new", "local-fs.target.requires", "Mount"),  # systemd makes the directory
    ],
)
def test_units_that_are_right_or_never_started(name: str, where: str, by: str, section: str) -> None:
    assert of_units(made(name, where, by=by, section=section)) == []


@pytest.mark.parametrize(
    ("by", "severity"),
    [
        ("local-fs.target.requires", WARNING),
        ("multi-user.target.requires", ERROR),
        ("local-fs.target.wants", WARNING),
        ("multi-user.target.wants", WARNING),
        ("remote-fs.target.requires", WARNING),
    ],
)
def test_what_boot_only_wants_is_a_warning(by: str, severity: Severity) -> None:
    (finding,) = of_units(made("data.mount", "/srv/data", by=by))
    assert finding.severity is severity


@pytest.mark.parametrize(
    ("name", "section", "where"),
    [("data.automount", "Automount", "/srv/data"), ("swap.swap", "Swap", "/swapfile")],
)
def test_automount_and_swap_units(name: str, section: str, where: str) -> None:
    by = "swap.target.wants" if section == "Swap" else "local-fs.target.requires"
    (finding,) = of_units(made(name, where, by=by, section=section))
    assert finding.severity is WARNING


@pytest.mark.parametrize("place", ["/usr", "/var", "/boot/"])
def test_a_place_that_boot_needs_is_an_error(place: str) -> None:
    (finding,) = of_units(made("data.mount", place))
    assert (finding.severity, finding.effect) == (ERROR, Effect.STOPS_BOOT)


@pytest.mark.parametrize(
    ("name", "where", "real", "version", "expected"),
    [
        ("media-data.mount", "/media/data", "/srv/data", "252", True),
        ("media-data.mount", "/media/data", "/srv/data", "219", True),
        ("var-run-app.mount", "/var/run/app", "/run/app", "252", True),
        ("var-run-app.mount", "/var/run/app", "/run/app", "", True),
        ("var-run-app.mount", "/var/run/app", "/run/app", "219", False),  # only the last part counted
    ],
)
def test_a_place_that_goes_through_a_link(
    name: str, where: str, real: str, version: str, *, expected: bool
) -> None:
    found = made(name, where)
    if version:
        found.file(f"/usr/lib/systemd/libsystemd-shared-{version}.so", "")
    result = of_units(found)
    assert [f.severity for f in result] == [WARNING] * expected
    if not expected:
        return
    assert result[0].repair is not None
    write = result[0].repair.changes[0]
    assert isinstance(write, WriteFile)
    assert write.path.name == real.strip("/").replace("/", "-") + ".mount"
    assert f"Where={real}\n".encode() in write.after


@pytest.mark.parametrize("why", ["drop-in", "taken", "a link", "an automount beside it", "drop-in has it"])
def test_a_unit_with_more_to_it_is_renamed_by_hand(why: str) -> None:
    found = made("data.mount", "/srv/data")
    if why == "drop-in":
        found.file(f"{OWN}/data.mount.d/x.conf", "[Mount]\nOptions=ro\n")
    elif why == "taken":
        found.file(f"{OWN}/srv-data.mount", "[Mount]\nWhat=/dev/x\nWhere=/srv/data\n")
    elif why == "a link":
        found.file("/opt/data.mount", found.nodes.pop(GuestPath(f"{OWN}/data.mount")).content)
        found.link(f"{OWN}/data.mount", "/opt/data.mount")
    elif why == "an automount beside it":
        found.file(f"{OWN}/data.automount", "[Automount]\nWhere=/srv/data\n")
    else:
        found.file(f"{OWN}/data.mount.d/x.conf", "[Mount]\nWhere=/srv/my-data\n")
    (finding,) = of_units(found)
    assert finding.repair is not None
    assert (finding.repair.safety, finding.repair.changes) == (Safety.MANUAL, ())


def test_masked_units_and_those_of_packages_are_left_alone() -> None:
    found = made("data.mount", "/srv/data")
    del found.nodes[GuestPath(f"{OWN}/data.mount")]
    found.link(f"{OWN}/data.mount", "/dev/null")
    assert of_units(found) == []
    found = made("srv-data.mount", "/srv/data")
    found.file("/usr/lib/systemd/system/odd.mount", "[Mount]\nWhat=x\nWhere=/srv/data\n")
    found.link("/usr/lib/systemd/system/local-fs.target.requires/odd.mount", "../odd.mount")
    assert of_units(found) == []


def test_a_unit_that_cannot_be_read_is_inconclusive() -> None:
    found = made("data.mount", "/srv/data")
    found.nodes[GuestPath(f"{OWN}/data.mount")].unreadable = "Input/output error"
    result, inconclusive = analyze(found)
    assert [f for f in result if f.rule == "fstab/mount-unit"] == []
    assert any("data.mount" in each.reason for each in inconclusive)


def test_a_missing_device_of_a_required_unit_is_found() -> None:
    found = made("srv-data.mount", "/srv/data")
    path = GuestPath(f"{OWN}/srv-data.mount")
    found.nodes[path].content = found.nodes[path].content.replace(DATA.encode(), DATA[::-1].encode())
    for everything in (False, True):
        (finding,) = findings(found, all_disks_attached=everything)
        assert (finding.rule, finding.severity) == ("fstab/source-not-found", ERROR)
    link = f"local-fs.target.requires/{path.name}"
    assert finding.repair == Repair(
        "boot without it: let local-fs.target only want the unit",
        Safety.REVIEW,
        (
            MakeLink(path=GuestPath(f"{OWN}/local-fs.target.wants/{path.name}"), target=f"../{path.name}"),
            RemoveFile(path=GuestPath(f"{OWN}/{link}"), backup=False),
        ),
    )
    again = made("srv-data.mount", "/srv/data")
    again.nodes[path].content = found.nodes[path].content
    again.link(f"{OWN}/local-fs.target.wants/{path.name}", f"../{path.name}")
    (finding,) = findings(again, all_disks_attached=True)
    assert finding.repair is not None
    assert finding.repair.safety is Safety.MANUAL


@pytest.mark.parametrize(
    ("by", "severity"),
    [
        ("local-fs.target.requires", ERROR),
        ("default.target.requires", ERROR),
        ("remote-fs.target.requires", Severity.NOTE),
        ("backup.service.requires", Severity.NOTE),
        ("local-fs.target.wants", Severity.NOTE),
    ],
)
def test_a_missing_device_of_a_unit_that_boot_goes_on_without_is_a_note(by: str, severity: Severity) -> None:
    found = made("srv-data.mount", "/srv/data", by=by)
    path = GuestPath(f"{OWN}/srv-data.mount")
    found.nodes[path].content = found.nodes[path].content.replace(DATA.encode(), DATA[::-1].encode())
    assert [f.severity for f in findings(found, all_disks_attached=True)] == [severity]
