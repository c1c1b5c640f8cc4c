"""The inventory of small guests: what each section has, and what is said where it cannot be read."""

from __future__ import annotations

import datetime as dt
import json

import pytest

from guestrepair.analyzers.base import AnalysisOptions, Context
from guestrepair.formats.kernel_cmdline import parse
from guestrepair.guest.devices import OperatingSystem
from guestrepair.guest.memory import MemoryGuest
from guestrepair.inventory.boot import shown_arguments
from guestrepair.inventory.model import Inventory
from guestrepair.model import GuestPath
from guestrepair.operations.inventory import take_inventory
from guestrepair.packages import open_database
from guestrepair.report.data import ImageReport, Report
from guestrepair.report.json import render
from tests.unit.analyzers.sshd_guest import debian, rocky9
from tests.unit.compare.pair import FINGERPRINT, HASH, KEY, guest

NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC).timestamp()


def taken(of: MemoryGuest, digests: str = "all") -> tuple[Inventory, list[str]]:
    context = Context(of, options=AnalysisOptions(digests=digests, now=NOW))
    try:
        context.packages = open_database(of)
    except Exception as error:  # as operations/opening does
        context.packages_error = str(error)
    found, inconclusive = take_inventory(context)
    return found, [each.reason for each in inconclusive]


def test_packages_are_as_the_database_has_them() -> None:
    of = guest()
    status = of.nodes[GuestPath("/var/lib/dpkg/status")]
    status.content = status.content.replace(b"Version: 1.0-1", b"Version: 1.0-1\nSource: tools (2:1.0)", 1)
    found, lost = taken(of)
    assert found.packages is not None
    assert [(p.name, p.version, p.architecture, p.source, p.state) for p in found.packages] == [
        ("tool", "1.0-1", "amd64", "tools (2:1.0)", "installed")
    ]
    assert lost == []


def modified(of: MemoryGuest, digests: str = "all") -> set[tuple[str, str, bool]]:
    found, _ = taken(of, digests)
    assert found.modified is not None
    return {(f.path, f.what.value, f.is_config) for f in found.modified.files}


CONFIGURATION = ("/etc/tool.conf", "content", True)


def test_what_differs_from_the_database_is_listed_with_configuration() -> None:
    of = guest()
    assert modified(of) == {CONFIGURATION}
    of.file("/usr/bin/other", b"a trojan program", mode=0o755)
    of.file("/usr/share/tool/data", b"", mode=0o644)
    of.remove("/usr/share/doc/tool/README")
    of.nodes[GuestPath("/usr/bin/sudo")].mode = 0o100755
    of.nodes[GuestPath("/usr/bin/tool")].uid = 1000
    assert modified(of) == {
        CONFIGURATION,
        ("/usr/bin/other", "content", False),
        ("/usr/share/tool/data", "content", False),
        ("/usr/share/doc/tool/README", "missing", False),
        ("/usr/bin/sudo", "mode", False),
        ("/usr/bin/tool", "owner", False),
    }


@pytest.mark.parametrize(
    ("digests", "expected"),
    [
        ("none", set()),
        ("critical", {("/usr/bin/sudo", "content", False), CONFIGURATION}),
        (
            "all",
            {("/usr/bin/sudo", "content", False), ("/usr/share/tool/data", "content", False), CONFIGURATION},
        ),
    ],
)
def test_digests_say_whose_content_is_compared(digests: str, expected: set[tuple[str, str, bool]]) -> None:
    of = guest()
    of.file("/usr/bin/sudo", b"SUDO", mode=0o4755)
    of.file("/usr/share/tool/data", b"DATA")
    assert modified(of, digests) == expected
    found = taken(of, digests)[0].modified
    assert found is not None
    assert found.digests == digests
    assert (found.compared == 0) == (digests == "none")


UNITS = {
    "one.service": ("enabled", ("multi-user.target",)),
    "two.service": ("disabled", ()),
    "three.service": ("static", ()),
    "four.service": ("masked", ()),
    "five.service": ("alias", ()),
    "six.service": ("enabled", ()),
    "tty@.service": ("enabled", ("multi-user.target",)),
    "tty@1.service": ("enabled", ("multi-user.target",)),
    "seven.target": ("disabled", ()),
    "gone.service": ("not found", ("multi-user.target",)),
    "broken.service": ("failed to load", ()),
}


def test_units_have_the_states_of_systemctl() -> None:
    of = guest()
    vendor, own = "/usr/lib/systemd/system", "/etc/systemd/system"
    install = "[Service]\nExecStart=/x\n[Install]\nWantedBy=multi-user.target\n"
    for name in ("one", "two"):
        of.file(f"{vendor}/{name}.service", install)
    of.link(f"{own}/multi-user.target.wants/one.service", f"{vendor}/one.service")
    of.link(f"{own}/multi-user.target.wants/gone.service", f"{vendor}/gone.service")
    of.file(f"{vendor}/three.service", "[Service]\nExecStart=/x\n")
    of.link(f"{own}/four.service", "/dev/null")
    of.file(f"{vendor}/six.service", install + "Alias=five.service\n")
    of.link(f"{own}/five.service", f"{vendor}/six.service")
    of.file(f"{vendor}/tty@.service", install + "DefaultInstance=1\n")
    of.link(f"{own}/multi-user.target.wants/tty@1.service", f"{vendor}/tty@.service")
    of.file(f"{vendor}/seven.target", "[Install]\nAlias=eight.target\n")
    of.link(f"{vendor}/eight.target", "seven.target")  # the package's own link
    of.file(f"{vendor}/broken.service", install).unreadable = "Input/output error"
    found, lost = taken(of)
    assert found.units is not None
    assert {u.name: (u.state, u.wanted_by) for u in found.units if u.name in UNITS} == UNITS
    assert any("broken.service" in reason and "Input/output error" in reason for reason in lost)


def test_accounts_have_states_and_fingerprints_and_no_hash() -> None:
    of = guest()
    lines = [("eve", f"!{HASH}", ""), ("bob", "", "20000"), ("new", HASH, ""), ("old", HASH, "20000")]
    passwd, shadow = (of.nodes[GuestPath(f"/etc/{name}")] for name in ("passwd", "shadow"))
    for number, (name, password, expires) in enumerate(lines, 1001):
        passwd.content += f"{name}:x:{number}:100::/home/{name}:/bin/sh\n".encode()
        changed = "0" if name == "new" else "19700"
        shadow.content += f"{name}:{password}:{changed}:0:99999:7::{expires}:\n".encode()
    passwd.content += b"note:x:1100:100:password=hunter2:/home/note:/bin/sh\n"
    shadow.content += b"note:!:19700:0:99999:7:::\n"
    of.file("/home/alice/.ssh/authorized_keys", f'environment="TOKEN=hunter2hunter2" {KEY} token=hunter2')
    found, lost = taken(of)
    assert found.accounts is not None
    told = {a.name: (a.password, a.must_change, a.expires, a.expired) for a in found.accounts}
    assert told == {
        "root": ("none", False, None, False),
        "alice": ("set", False, None, False),
        "eve": ("locked", False, None, False),
        "bob": ("empty", False, "2024-10-04", True),
        "new": ("set", True, None, False),
        "old": ("set", False, "2024-10-04", True),
        "note": ("none", False, None, False),
    }
    keys = {a.name: [k.fingerprint for k in a.keys or ()] for a in found.accounts}
    assert keys["alice"] == [FINGERPRINT]
    assert not any(keys[name] for name in keys if name != "alice")
    text = render(Report([ImageReport(path="x", inventory=found)]))
    assert HASH not in text
    assert "hunter2" not in text
    assert "AAAAC3Nza" not in text
    assert lost == []


def test_a_file_of_keys_that_cannot_be_read_is_not_no_key() -> None:
    of = guest()
    of.file("/home/alice/.ssh/authorized_keys", KEY).unreadable = "Input/output error"
    found, lost = taken(of)
    assert found.accounts is not None
    assert {a.name: a.keys for a in found.accounts} == {"root": (), "alice": None}
    assert [reason for reason in lost if reason.startswith("accounts:")]


@pytest.mark.parametrize(
    ("path", "sections"),
    [
        ("/etc/passwd", {"accounts"}),
        ("/etc/shadow", {"accounts"}),
        ("/etc/group", {"accounts", "groups"}),
        ("/etc/ssh/sshd_config", {"sshd", "firewall", "accounts"}),
        ("/var/lib/dpkg/status", {"packages", "modified"}),
    ],
)
def test_a_section_that_cannot_be_read_is_null_and_said(path: str, sections: set[str]) -> None:
    of = debian()
    of.file("/var/lib/dpkg/info/x.list", "/.\n")
    status = "Package: x\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n"
    of.file("/var/lib/dpkg/status", status)
    for name in ("passwd", "shadow", "group"):
        if GuestPath(f"/etc/{name}") not in of.nodes:
            of.file(f"/etc/{name}", "")
    of.nodes[GuestPath(path)].unreadable = "Input/output error"
    found, lost = taken(of)
    image = json.loads(render(Report([ImageReport(path="x", inventory=found)])))["images"][0]["inventory"]
    nulls = {name for name, value in image.items() if value is None} - {"units"}
    assert sections - {"modified", "accounts"} <= nulls <= sections
    assert {reason.partition(":")[0] for reason in lost} >= sections - {"modified", "firewall"}


@pytest.mark.parametrize(("make", "root"), [(debian, "prohibit-password"), (rocky9, "prohibit-password")])
def test_the_first_line_of_sshd_counts_and_defaults_have_no_place(make: object, root: str) -> None:
    assert callable(make)
    of: MemoryGuest = make()
    lines = ["Port 22", "Port 2222", "PasswordAuthentication no", "PasswordAuthentication yes",
             "SetEnv DB_PASSWORD=hunter2", "Match User alice", "PermitRootLogin yes", ""]  # fmt: skip
    of.file("/etc/ssh/sshd_config", "\n".join(lines))
    found, _ = taken(of)
    assert found.sshd
    server = found.sshd[0]
    settings = [(s.name, s.value, s.place) for s in server.settings]
    assert ("passwordauthentication", "no", "/etc/ssh/sshd_config:3") in settings
    assert ("passwordauthentication", "yes", "/etc/ssh/sshd_config:4") not in settings
    assert [value for name, value, _ in settings if name == "port"] == ["22", "2222"]
    assert ("permitrootlogin", root, "") in settings
    assert ("setenv", "DB_PASSWORD=********", "/etc/ssh/sshd_config:5") in settings
    assert [(s.name, s.place) for s in server.conditional] == [("permitrootlogin", "/etc/ssh/sshd_config:7")]
    assert found.firewall is not None
    assert {p.port for p in found.firewall.ssh} == {22, 2222}


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("root=/dev/vda1 ro quiet", "root=/dev/vda1 ro quiet"),
        ('rd.iscsi.password="two words" ro', "rd.iscsi.password=******** ro"),
        ("rd.iscsi.in.password=one,two ro", "rd.iscsi.in.password=******** ro"),
        ("systemd.set_credential=passwd.root:one,two ro", "systemd.set_credential=******** ro"),
        ("netroot=iscsi:alice:one@10.0.0.1::::iqn", "netroot=iscsi:alice:********@10.0.0.1::::iqn"),
        ("inst.ks=https://alice:one@host/ks", "inst.ks=https://alice:********@host/ks"),
        ("passwd/root-password=one", "passwd/root-password=********"),
    ],
)
def test_a_secret_of_the_kernel_s_arguments_is_masked(written: str, shown: str) -> None:
    assert shown_arguments(parse(written.encode())) == shown


def test_a_guest_without_systemd_has_no_units_and_that_is_no_error() -> None:
    of = MemoryGuest()
    of.os = OperatingSystem(distro="alpine", package_format="apk", arch="x86_64")
    of.file(
        "/lib/apk/db/installed", "C:Q1" + "A" * 27 + "=\nP:musl\nV:1.2\nA:x86_64\nL:MIT\no:musl\nF:lib\n\n"
    )
    of.file("/etc/passwd", "root:x:0:0::/root:/bin/sh\n")
    of.file("/etc/group", "root:x:0:\n")
    found, lost = taken(of)
    assert found.units is None
    assert not any(reason.startswith("units") for reason in lost)
    assert found.packages is not None
    assert [(p.name, p.license, p.source, p.digest) for p in found.packages] == [
        ("musl", "MIT", "musl", "sha1:" + "00" * 20)
    ]
