"""Units are loaded as systemd loads them: masks however they are written, drop-ins, aliases, templates."""

from __future__ import annotations

import pytest

from guestrepair.errors import GuestReadError
from guestrepair.guest.masks import leads_to_null
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import GuestPath as P
from guestrepair.system.systemd import Systemd

VENDOR = "/usr/lib/systemd/system"
OWN = "/etc/systemd/system"
SSH = (
    "[Unit]\nDescription=ssh\n[Service]\nExecStart=/usr/sbin/sshd -D\n[Install]\nWantedBy=multi-user.target\n"
)


@pytest.fixture
def guest() -> MemoryGuest:
    made = MemoryGuest()
    made.file("/usr/lib/systemd/systemd", b"ELF", mode=0o755)
    made.link("/lib", "usr/lib")
    made.file(f"{VENDOR}/ssh.service", SSH)
    made.file(f"{VENDOR}/getty@.service", "[Service]\nExecStart=/sbin/agetty %I\n")
    made.file(f"{VENDOR}/multi-user.target", "[Unit]\nRequires=basic.target\n")
    made.file(f"{VENDOR}/basic.target", "[Unit]\nRequires=sysinit.target\n")
    made.file(f"{VENDOR}/sysinit.target", "[Unit]\n")
    made.link(f"{VENDOR}/default.target", "multi-user.target")
    return made


@pytest.mark.parametrize(
    "target",
    [
        "/dev/null",
        "../../../dev/null",
        "../../../../../dev/null",
        "/dev/../dev/null",
        "//dev/null",
        "/etc/systemd/system/other",
    ],
)
def test_a_link_to_dev_null_masks_however_it_is_written(guest: MemoryGuest, target: str) -> None:
    guest.link(f"{OWN}/other", "/dev/null")
    guest.link(f"{OWN}/ssh.service", target)
    systemd = Systemd(guest)
    assert systemd.is_masked("ssh.service")
    assert systemd.masked_by("ssh.service") == P(f"{OWN}/ssh.service")


@pytest.mark.parametrize("target", ["/dev/nullx", "../dev/null", f"{VENDOR}/ssh.service"])
def test_other_links_do_not_mask(guest: MemoryGuest, target: str) -> None:
    guest.link(f"{OWN}/ssh.service", target)
    assert not Systemd(guest).is_masked("ssh.service")


def test_a_link_through_a_linked_directory_is_followed_where_it_really_lies(guest: MemoryGuest) -> None:
    guest.directory("/srv/deep/down/units")
    guest.link("/etc/systemd/system", "/srv/deep/down/units")
    guest.link("/srv/deep/down/units/ssh.service", "../../../../dev/null")
    assert Systemd(guest).is_masked("ssh.service")


def test_an_alias_of_a_masked_unit_is_masked(guest: MemoryGuest) -> None:
    guest.link(f"{OWN}/sshd.service", f"{VENDOR}/ssh.service")
    assert not Systemd(guest).is_masked("sshd.service")
    guest.link(f"{OWN}/ssh.service", "/dev/null")
    assert Systemd(guest).masked_by("sshd.service") == P(f"{OWN}/ssh.service")


def test_links_of_a_unit_count_whether_it_is_there_or_not(guest: MemoryGuest) -> None:
    guest.link(f"{OWN}/graphical.target.wants/ssh.service", f"{VENDOR}/ssh.service")
    guest.link(f"{VENDOR}/graphical.target.requires/a.service", "../a.service")
    systemd = Systemd(guest)
    assert systemd.links_of("graphical.target") == ("ssh.service", "a.service")
    assert systemd.pulls_in("graphical.target") == ()
    assert systemd.links_of("multi-user.target") == ()


def test_an_empty_file_masks(guest: MemoryGuest) -> None:
    guest.file(f"{OWN}/ssh.service", "")
    assert Systemd(guest).is_masked("ssh.service")


def test_a_link_to_an_empty_file_masks(guest: MemoryGuest) -> None:
    guest.file("/etc/empty", "")
    guest.link(f"{OWN}/ssh.service", "/etc/empty")
    assert Systemd(guest).masked_by("ssh.service") == P(f"{OWN}/ssh.service")


def test_the_vendors_unit_is_seen_behind_a_mask(guest: MemoryGuest) -> None:
    guest.link(f"{OWN}/ssh.service", "/dev/null")
    vendor = Systemd(guest).vendor("ssh.service")
    assert vendor is not None
    assert vendor.unit.last("Service", "ExecStart") == "/usr/sbin/sshd -D"
    assert vendor.can_be_enabled


def test_a_dangling_link_counts_as_not_there(guest: MemoryGuest) -> None:
    guest.link(f"{OWN}/ssh.service", "/nowhere")
    unit = Systemd(guest).load("ssh.service")
    assert unit is not None
    assert unit.path == P(f"{VENDOR}/ssh.service")


def test_drop_ins_of_unit_prefix_type_and_alias_are_read_in_order(guest: MemoryGuest) -> None:
    guest.file(f"{VENDOR}/foo-bar.service", "[Service]\nExecStart=/bin/a\nUser=a\n")
    guest.link(f"{OWN}/alias.service", f"{VENDOR}/foo-bar.service")
    guest.file(f"{OWN}/foo-bar.service.d/20-own.conf", "[Service]\nExecStart=\nExecStart=/bin/b\n")
    guest.file(f"{OWN}/foo-.service.d/10-prefix.conf", "[Service]\nUser=b\n")
    guest.file(f"{OWN}/service.d/30-type.conf", "[Service]\nGroup=g\n")
    guest.file(f"{OWN}/alias.service.d/40-alias.conf", "[Service]\nNice=5\n")
    guest.link(f"{OWN}/foo-bar.service.d/50-off.conf", "/dev/null")
    unit = Systemd(guest).load("alias.service")
    assert unit is not None
    assert unit.real_name == "foo-bar.service"
    read = {key: unit.unit.last("Service", key) for key in ("ExecStart", "User", "Group", "Nice")}
    assert read == {"ExecStart": "/bin/b", "User": "b", "Group": "g", "Nice": "5"}
    assert [path.name for path in unit.drop_ins] == [
        "10-prefix.conf",
        "20-own.conf",
        "30-type.conf",
        "40-alias.conf",
    ]


def test_an_instance_comes_from_its_template(guest: MemoryGuest) -> None:
    unit = Systemd(guest).load("getty@tty1.service")
    assert unit is not None
    assert (unit.real_name, unit.path.name) == ("getty@tty1.service", "getty@.service")


def test_what_pulls_a_unit_in_is_found_under_any_of_its_names(guest: MemoryGuest) -> None:
    guest.link(f"{OWN}/sshd.service", f"{VENDOR}/ssh.service")
    guest.link(f"{OWN}/multi-user.target.wants/sshd.service", f"{VENDOR}/ssh.service")
    systemd = Systemd(guest)
    assert systemd.pulled_in_by("ssh.service") == (P(f"{OWN}/multi-user.target.wants/sshd.service"),)
    assert systemd.names_of("ssh.service") == {"ssh.service", "sshd.service"}


def test_what_boot_starts_is_what_the_default_target_reaches(guest: MemoryGuest) -> None:
    guest.link(f"{OWN}/multi-user.target.wants/ssh.service", f"{VENDOR}/ssh.service")
    guest.link(f"{OWN}/rescue.target.wants/getty@tty1.service", f"{VENDOR}/getty@.service")
    systemd = Systemd(guest)
    assert systemd.started_at_boot == {"multi-user.target", "basic.target", "sysinit.target", "ssh.service"}


def test_a_masked_unit_is_not_started(guest: MemoryGuest) -> None:
    guest.link(f"{OWN}/multi-user.target.wants/ssh.service", f"{VENDOR}/ssh.service")
    guest.link(f"{OWN}/ssh.service", "../../../dev/null")
    assert "ssh.service" not in Systemd(guest).started_at_boot


def test_units_that_require_each_other_in_a_circle_end(guest: MemoryGuest) -> None:
    guest.file(f"{VENDOR}/sysinit.target", "[Unit]\nWants=multi-user.target\n")
    assert "sysinit.target" in Systemd(guest).started_at_boot


def test_a_fragment_that_cannot_be_read_is_an_error_and_never_no_unit(guest: MemoryGuest) -> None:
    guest.file(f"{OWN}/ssh.service", SSH).unreadable = "Input/output error"
    systemd = Systemd(guest)
    for _ in range(2):
        with pytest.raises(GuestReadError, match="Input/output error"):
            systemd.load("ssh.service")


def test_a_drop_in_that_cannot_be_read_is_named(guest: MemoryGuest) -> None:
    guest.file(f"{OWN}/ssh.service.d/x.conf", "[Service]\n")
    guest.nodes[P(f"{OWN}/ssh.service.d/x.conf")].size_bytes = 1 << 40
    unit = Systemd(guest).load("ssh.service")
    assert unit is not None
    assert [each.path for each in unit.unread] == [f"{OWN}/ssh.service.d/x.conf"]


def test_presets_go_by_the_first_line_that_fits(guest: MemoryGuest) -> None:
    guest.file("/etc/systemd/system-preset/10-own.preset", "disable telnet*\n")
    guest.file("/usr/lib/systemd/system-preset/90-default.preset", "# all\nenable ssh.service\ndisable *\n")
    systemd = Systemd(guest)
    assert [systemd.preset(n) for n in ("ssh.service", "telnetd.service", "x.service")] == [
        "enable",
        "disable",
        "disable",
    ]
    assert Systemd(MemoryGuest()).preset("x.service") == ""


@pytest.mark.parametrize(
    "name", ["", ".", "x", "../ssh.service", "a/b.service", "x.service.d", "s" * 300 + ".service"]
)
def test_a_name_that_is_none_loads_nothing(guest: MemoryGuest, name: str) -> None:
    assert Systemd(guest).load(name) is None


def test_a_circle_of_links_leads_nowhere_and_ends(guest: MemoryGuest) -> None:
    guest.link(f"{OWN}/a.service", "b.service")
    guest.link(f"{OWN}/b.service", "a.service")
    assert not leads_to_null(guest, P(f"{OWN}/a.service"))
    assert Systemd(guest).load("a.service") is None


@pytest.mark.parametrize(
    ("path", "version"),
    [
        ("/usr/lib/systemd/libsystemd-shared-219.so", 219),
        ("/usr/lib/systemd/libsystemd-shared-252-32.el9_4.so", 252),
        ("/usr/lib/x86_64-linux-gnu/systemd/libsystemd-shared-257.so", 257),
        ("/usr/lib/systemd/libsystemd-shared.so", None),
        ("/usr/lib/systemd/libother-300.so", None),
    ],
)
def test_the_version_is_told_by_the_library(guest: MemoryGuest, path: str, version: int | None) -> None:
    guest.file(path, b"")
    assert Systemd(guest).version == version
