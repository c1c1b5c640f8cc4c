"""What a report shows of a repair holds no password of the guest; the repair itself writes what it wrote."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from guestrepair.compare.model import Comparison, Difference, Kind, Section
from guestrepair.events.secrets import MASK
from guestrepair.model import Finding, GuestPath, Repair, Safety, Severity, Subject, WriteFile
from guestrepair.report import differences
from guestrepair.report.data import DiffReport, ImageReport, Report
from guestrepair.report.diff import unified_diff
from guestrepair.report.formats import all_formats
from guestrepair.report.masking import shown_diff
from guestrepair.report.writers import differences_page

CRYPT = "$y$j9T$abcdefgh$ijklmnopqrstuvwxyz"
SUBJECT = Subject.of_line(GuestPath("/etc/shadow"), 1)


def change(path: str, before: str, after: str) -> WriteFile:
    return WriteFile(path=GuestPath(path), before=before.encode(), after=after.encode())


@pytest.mark.parametrize(
    ("path", "line", "shown"),
    [
        ("/etc/shadow", f"root:{CRYPT}:19000:0:::::", f"root:{MASK}:19000:0:::::"),
        ("/etc/shadow-", f"root:!{CRYPT}:19000::", f"root:!{MASK}:19000::"),
        ("/etc/shadow", "old:abJnggxhB/yWI:1::", f"old:{MASK}:1::"),  # crypt(5)'s DES has no sign of its own
        ("/etc/shadow", "plain:hunter2:1::", f"plain:{MASK}:1::"),
        ("/etc/shadow", "daemon:*:1::", "daemon:*:1::"),
        ("/etc/shadow", "nobody:!!:1::", "nobody:!!:1::"),
        ("/etc/shadow", "guest::1::", "guest::1::"),
        ("/etc/shadow", "no field at all", "no field at all"),
        ("/etc/gshadow", f"wheel:{CRYPT}:root:a", f"wheel:{MASK}:root:a"),
        ("/etc/passwd", f"a:{CRYPT}:0:0::/:/bin/sh", f"a:{MASK}:0:0::/:/bin/sh"),
        ("/etc/passwd", "a:x:0:0::/:/bin/sh", "a:x:0:0::/:/bin/sh"),
        ("/etc/security/opasswd", f"a:1000:2:{CRYPT},{CRYPT}", f"a:1000:2:{MASK}"),
        ("/etc/fstab", "//s/x /m cifs password=hunter2 0 0", f"//s/x /m cifs password={MASK} 0 0"),
        ("/boot/grub/grub.cfg", "password_pbkdf2 a grub.pbkdf2.sha512.10000.AB12.CD34",
         f"password_pbkdf2 a {MASK}"),
        ("/etc/NetworkManager/system-connections/a.nmconnection", "psk=hunter2hunter2", f"psk={MASK}"),
        ("/etc/netplan/a.yaml", '  password: "hunter2"', f'  password: "{MASK}"'),
        ("/etc/nsswitch.conf", "passwd: files", "passwd: files"),  # that is what the repair is about
        ("/etc/ssh/sshd_config", "PasswordAuthentication yes", "PasswordAuthentication yes"),
    ],
)  # fmt: skip
def test_a_line_is_shown_without_its_secret(path: str, line: str, shown: str) -> None:
    kept = f"first\n{line}\n"
    for sign, made in (
        ("-", change(path, kept, "first\n")),
        ("+", change(path, "first\n", kept)),
        (" ", change(path, kept, f"{kept}z\n")),
    ):
        lines = shown_diff(made).splitlines()
        assert f"{sign}{shown}" in lines
        assert lines[:3] == unified_diff(made).splitlines()[:3]


def test_a_line_that_is_odd_to_python_is_one_line() -> None:
    assert MASK in shown_diff(change("/etc/shadow", f"ro\x0bot:{CRYPT}:1::\n", ""))
    assert "j9T" not in shown_diff(change("/etc/shadow", f"ro\x0bot:{CRYPT}:1::\n", ""))


@pytest.mark.parametrize("secret", [CRYPT, "abJnggxhB/yWI"])
@pytest.mark.parametrize("after", ["root:*:1::\n", "root:{}:1::\na:*:1::\n"])
def test_no_format_shows_what_the_file_holds(secret: str, after: str) -> None:
    written = change("/etc/shadow", f"root:{secret}:1::\n", after.format(secret))
    repair = Repair("lock root", Safety.SAFE, (written,))
    found = Finding("golden/password", Severity.WARNING, SUBJECT, "a password", (), repair)
    report = Report([ImageReport(path="x", findings=[found])])
    for each in all_formats().values():
        if Report in each.renderers and not each.needs_inventory:
            assert secret not in each.renderers[Report](report), each.name
    assert written.before == f"root:{secret}:1::\n".encode()


@pytest.mark.parametrize("render", [differences.render, differences.render_json, differences_page.render])
def test_a_difference_shows_no_secret_and_all_of_a_package(render: Callable[[DiffReport], str]) -> None:
    found = Difference(
        section=Section.PACKAGES, kind=Kind.CHANGED, name="passwd:amd64", before="for pass:all",
        after="token=hunter2", detail="with libsecret-1-0:amd64; password: hunter2",
    )  # fmt: skip
    shown = render(DiffReport("A", "B", Comparison([found])))
    assert "hunter2" not in shown
    for name in ("passwd:amd64", "pass:all", "libsecret-1-0:amd64"):
        assert name in shown
