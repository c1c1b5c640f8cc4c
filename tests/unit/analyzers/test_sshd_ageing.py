"""login-blocked by the end of accounts, by locks and by PAM's lists, on days that are given."""

from __future__ import annotations

import datetime as dt

import pytest

from guestrepair.analyzers.base import AnalysisOptions, Context, run_analyzer
from guestrepair.analyzers.sshd import ANALYZER
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import EditFile, Finding, GuestPath, Safety, Severity
from tests.unit.analyzers.sshd_guest import debian, rocky9
from tests.unit.analyzers.test_sshd_accounts import with_keys

CONFIG = "/etc/ssh/sshd_config"
NOW = dt.datetime(2026, 6, 1, 12, tzinfo=dt.UTC)
TODAY = (NOW.date() - dt.date(1970, 1, 1)).days
NO_ROOT = "UsePAM yes\nPermitRootLogin no\n"
KEYS_ONLY = NO_ROOT + "PasswordAuthentication no\nKbdInteractiveAuthentication no\n"
ROOT = "root:$y$x:19000:0:99999:7:::\n"


def findings(guest: MemoryGuest, now: dt.datetime = NOW) -> list[Finding]:
    options = AnalysisOptions(now=now.timestamp())
    found, inconclusive = run_analyzer(ANALYZER, Context(guest=guest, options=options))
    assert not inconclusive
    return found


def guest_with(ann: str, *, config: str = NO_ROOT, keys: bool = True) -> MemoryGuest:
    guest = with_keys(debian()) if keys else debian()
    guest.file("/etc/shadow", f"{ROOT}{ann}\n", mode=0o640)
    guest.file(CONFIG, config)
    return guest


@pytest.mark.parametrize(
    ("ann", "after"),
    [
        ("ann:$y$z:19000:0:99999:7::19357:", "ann:$y$z:19000:0:99999:7:::"),
        (f"ann:$y$z:19000:0:99999:7::{TODAY}:", "ann:$y$z:19000:0:99999:7:::"),
        ("ann:$y$z:19000:0:99999:7::0:", "ann:$y$z:19000:0:99999:7:::"),
        (f"ann:!:19000:0:99999:7::{TODAY - 1}:", "ann:!:19000:0:99999:7:::"),
        ("ann:$y$z:19000:0:90:7:30::", "ann:$y$z:19000:0::7:30::"),
        ("ann:!:19000:0:90:7:::", "ann:!:19000:0::7:::"),
    ],
)
def test_the_only_account_is_over(ann: str, after: str) -> None:
    guest = guest_with(ann)
    (found,) = findings(guest)
    assert (found.rule, found.subject) == ("sshd/login-blocked", "/etc/shadow:2")
    assert found.severity is Severity.ERROR
    assert found.repair is not None
    assert found.repair.safety is Safety.REVIEW
    (change,) = found.repair.changes
    assert isinstance(change, EditFile)
    assert change.after.decode() == f"{ROOT}{after}\n"
    guest.file("/etc/shadow", change.after, mode=0o640)
    assert findings(guest) == []


@pytest.mark.parametrize(
    ("ann", "config"),
    [
        (f"ann:$y$z:19000:0:99999:7::{TODAY + 1}:", NO_ROOT),
        (f"ann:$y$z:19000:0:99999:7::{TODAY}:", "UsePAM no\nPermitRootLogin no\n"),
        (f"ann:$y$z:19000:0:99999:7::{TODAY + 30}:", NO_ROOT),
        ("ann:$y$z:19000:0:99999:7:-1:-1:", NO_ROOT),
        ("ann:!$y$z:19000:0:99999:7:::", KEYS_ONLY),
        ("ann:*:19000:0:99999:7:::", KEYS_ONLY),
        ("ann:*:19000:0:99999:7:::", "UsePAM no\nPermitRootLogin no\n"),
        ("ann:$y$z:19000:0:90:7:::", NO_ROOT),
        ("ann:$y$z:0:0:99999:7:::", NO_ROOT),
        ("ann:!:99999:0:90:7:::", KEYS_ONLY),
        ("ann:$y$z:19000:0:99999:7::19357:", "UsePAM yes\nPermitRootLogin yes\n"),
    ],
)
def test_somebody_is_left(ann: str, config: str) -> None:
    assert findings(guest_with(ann, config=config)) == []


def test_the_day_decides() -> None:
    guest = guest_with(f"ann:$y$z:19000:0:99999:7::{TODAY + 30}:")
    assert findings(guest) == []
    assert [f.rule for f in findings(guest, NOW + dt.timedelta(days=40))] == ["sshd/login-blocked"]


def test_several_accounts_are_over_and_each_field_is_emptied() -> None:
    guest = guest_with("ann:$y$z:19000:0:99999:7::19357:\nbob:$y$z:19000:0:99999:7::100:")
    passwd = guest.nodes[GuestPath("/etc/passwd")].content.decode()
    guest.file("/etc/passwd", passwd + "bob:x:1001:1001::/home/bob:/bin/bash\n")
    (found,) = findings(guest)
    assert found.subject == "/etc/shadow"
    assert found.repair is not None
    (change,) = found.repair.changes
    assert isinstance(change, EditFile)
    assert b"19357" not in change.after
    assert change.after.count(b":7:::\n") == 3


def test_locked_without_pam() -> None:
    guest = guest_with("ann:!:19000:0:99999:7:::", config="UsePAM no\nPermitRootLogin no\n")
    (found,) = findings(guest)
    assert (found.subject, found.severity) == ("/etc/shadow:2", Severity.ERROR)


def test_to_be_changed_at_once_and_none_to_log_in_with() -> None:
    (found,) = findings(guest_with("ann:!:0:0:99999:7:::", config=KEYS_ONLY))
    assert found.subject == "/etc/shadow:2"
    assert found.repair is not None
    assert not found.repair.changes


STACKS = [
    (["required pam_unix.so"], True),
    (["[success=1 new_authtok_reqd=done default=ignore] pam_unix.so", "requisite pam_deny.so",
      "required pam_permit.so"], True),
    (["required pam_nologin.so", "required pam_unix.so", "sufficient pam_localuser.so"], True),
    (["optional pam_unix.so", "required pam_permit.so"], False),
    (["sufficient pam_ldap.so", "required pam_unix.so"], False),
    (["[success=2 default=ignore] pam_unix.so", "[success=1 default=ignore] pam_ldap.so",
      "requisite pam_deny.so", "required pam_permit.so"], False),
    (["required pam_permit.so"], False),
]  # fmt: skip


@pytest.mark.parametrize(("stack", "over"), STACKS)
def test_pam_must_ask_and_take_the_answer(stack: list[str], over: bool) -> None:
    guest = guest_with("ann:$y$z:19000:0:99999:7::19357:")
    for name in ("unix", "deny", "permit", "nologin", "localuser", "ldap"):
        guest.file(f"/usr/lib/x86_64-linux-gnu/security/pam_{name}.so", b"\x7fELF")
    guest.file(
        "/etc/pam.d/sshd",
        "\n".join(["auth required pam_unix.so", *(f"account {line}" for line in stack), ""]),
    )
    assert [f.rule for f in findings(guest)] == ["sshd/login-blocked"] * over


# --- PAM's lists ----------------------------------------------------------------------

ACCESS = "/etc/security/access.conf"
SOUND = "ann:$y$z:19000:0:99999:7:::"


def pam_guest(module: str, *, kind: str = "account", control: str = "required") -> MemoryGuest:
    guest = guest_with(SOUND)
    for name in ("access", "listfile", "shells", "time"):
        guest.file(f"/usr/lib/x86_64-linux-gnu/security/pam_{name}.so", b"\x7fELF")
    guest.file(
        "/etc/pam.d/sshd",
        f"auth required pam_unix.so\naccount required pam_unix.so\n{kind} {control} {module}\n",
    )
    return guest


@pytest.mark.parametrize(
    ("rules", "denied"),
    [
        ("- : ALL : ALL\n", True),
        ("+ : root : ALL\n- : ALL : ALL\n", True),
        ("+:root bob:ALL\n-:ALL EXCEPT root:ALL\n", True),
        ("-:(ann):ALL\n", True),
        ("-:ann:ALL\n", True),
        ("+:ann:ALL\n-:ALL:ALL\n", False),
        ("+:sudo:ALL\n-:ALL:ALL\n", False),
        ("+:(sudo):10.0.0.0/8\n-:ALL:ALL\n", False),
        ("-:ALL EXCEPT ann:ALL\n", False),
        ("-:ALL:LOCAL\n", False),
        ("-:ALL:ALL EXCEPT 10.\n", False),
        ("+:@admins:ALL\n-:ALL:ALL\n", False),
        ("# -:ALL:ALL\n", False),
        ("nonsense\n", False),
    ],
)
def test_pam_access(rules: str, denied: bool) -> None:
    guest = pam_guest("pam_access.so")
    guest.file(ACCESS, rules)
    found = findings(guest)
    assert [f.rule for f in found] == ["sshd/login-blocked"] * denied
    if denied:
        assert found[0].subject == f"{ACCESS}:{rules.count(chr(10))}"


@pytest.mark.parametrize(
    ("module", "files", "denied"),
    [
        (
            "pam_listfile.so item=user sense=allow file=/etc/ssh/who onerr=fail",
            {"/etc/ssh/who": "bob\n"},
            True,
        ),
        (
            "pam_listfile.so item=user sense=allow file=/etc/ssh/who onerr=fail",
            {"/etc/ssh/who": "ann\n"},
            False,
        ),
        ("pam_listfile.so item=user sense=allow file=/etc/ssh/who onerr=fail", {}, True),
        ("pam_listfile.so item=user sense=allow file=/etc/ssh/who onerr=succeed", {}, False),
        ("pam_listfile.so item=user sense=deny file=/etc/ssh/who", {"/etc/ssh/who": "ann\n"}, True),
        ("pam_listfile.so item=group sense=allow file=/etc/ssh/who", {"/etc/ssh/who": "sudo\n"}, False),
        ("pam_listfile.so item=group sense=allow file=/etc/ssh/who", {"/etc/ssh/who": "wheel\n"}, True),
        ("pam_listfile.so item=rhost sense=allow file=/etc/ssh/who", {"/etc/ssh/who": "a\n"}, False),
        ("pam_shells.so", {"/etc/shells": "/bin/sh\n"}, True),
        ("pam_shells.so", {"/etc/shells": "# s\n/bin/bash\n"}, False),
        ("pam_time.so", {"/etc/security/time.conf": "sshd;*;*;!Al0000-2400\n"}, True),
        ("pam_time.so", {"/etc/security/time.conf": "sshd;*;*;Al0800-1800\n"}, False),
        ("pam_time.so", {"/etc/security/time.conf": "login;*;*;!Al0000-2400\n"}, False),
        ("pam_time.so", {"/etc/security/time.conf": "*;*;!ann;!Al0000-2400\n"}, False),
    ],
)
def test_other_lists(module: str, files: dict[str, str], denied: bool) -> None:
    guest = pam_guest(module)
    for path, text in files.items():
        guest.file(path, text)
    assert [f.rule for f in findings(guest)] == ["sshd/login-blocked"] * denied


@pytest.mark.parametrize("control", ["optional", "sufficient", "[default=ignore]"])
def test_a_module_that_does_not_decide(control: str) -> None:
    guest = pam_guest("pam_access.so", control=control)
    guest.file(ACCESS, "-:ALL:ALL\n")
    assert findings(guest) == []


@pytest.mark.parametrize(
    ("stack", "denied"),
    [
        (["[success=1 default=ignore] pam_access.so", "requisite pam_deny.so", "required pam_permit.so"],
         True),
        (["[default=bad success=ok user_unknown=ignore] pam_access.so", "required pam_unix.so"], True),
        (["[success=ok ignore=ignore default=die] pam_access.so", "sufficient pam_permit.so"], True),
        (["sufficient pam_unix.so", "required pam_access.so"], False),
        (["[success=1 default=ignore] pam_unix.so", "required pam_access.so", "required pam_permit.so"],
         False),
        (["[default=1] pam_access.so", "requisite pam_deny.so", "required pam_permit.so"], False),
        (["[success=2 default=ignore] pam_access.so", "[success=1 default=ignore] pam_unix.so",
          "requisite pam_deny.so", "required pam_permit.so"], False),
    ],
)  # fmt: skip
def test_a_refusal_counts_where_the_stack_cannot_end_well_after_it(stack: list[str], denied: bool) -> None:
    guest = pam_guest("pam_access.so")
    for name in ("unix", "deny", "permit"):
        guest.file(f"/usr/lib/x86_64-linux-gnu/security/pam_{name}.so", b"\x7fELF")
    lines = ["auth required pam_unix.so", *(f"account {line}" for line in stack), ""]
    guest.file("/etc/pam.d/sshd", "\n".join(lines))
    guest.file(ACCESS, "-:ALL:ALL\n")
    assert [f.subject for f in findings(guest)] == [f"{ACCESS}:1"] * denied


def test_the_auth_stack_is_for_passwords_alone() -> None:
    guest = pam_guest("pam_shells.so", kind="auth")
    guest.file("/etc/shells", "/bin/sh\n")
    assert findings(guest) == []
    guest.remove("/home/ann/.ssh")
    assert [f.subject for f in findings(guest)] == ["/etc/shells"]


def test_a_list_that_cannot_be_read_is_inconclusive() -> None:
    guest = pam_guest("pam_access.so")
    guest.file(ACCESS, "-:ALL:ALL\n").unreadable = "input/output error"
    found, inconclusive = run_analyzer(ANALYZER, Context(guest=guest))
    assert found == []
    assert any(ACCESS in i.reason for i in inconclusive)


def test_red_hat_is_judged_the_same() -> None:
    guest = with_keys(rocky9())
    guest.file("/etc/shadow", f"{ROOT}ann:$y$z:19000:0:99999:7::19357:\n", mode=0o600)
    guest.file(CONFIG, NO_ROOT)
    assert [f.subject for f in findings(guest)] == ["/etc/shadow:2"]
