"""system/pam-flow: stacks that nobody gets through, their one mending, and healthy stacks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guestrepair.analyzers.base import Context, run_analyzer
from guestrepair.analyzers.system import ANALYZER
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import EditFile, Effect, Finding, Safety, Severity

ERROR, WARNING = Severity.ERROR, Severity.WARNING
UNIX = "auth\t[success=1 default=ignore]\tpam_unix.so nullok\n"
DENY, PERMIT = "auth\trequisite\tpam_deny.so\n", "auth\trequired\tpam_permit.so\n"
AUTH = UNIX + DENY + PERMIT
ACCOUNT = (
    "account [success=1 new_authtok_reqd=done default=ignore] pam_unix.so\n"
    "account requisite pam_deny.so\naccount required pam_permit.so\n"
)
SESSION = (
    "session [default=1] pam_permit.so\nsession requisite pam_deny.so\nsession required pam_permit.so\n"
    "session required pam_unix.so\nsession optional pam_systemd.so\n"
)
LOGIN = (
    "auth optional pam_faildelay.so delay=3000000\nauth requisite pam_nologin.so\n"
    "session [success=ok ignore=ignore module_unknown=ignore default=bad] pam_selinux.so close\n"
    "session required pam_loginuid.so\n@include common-auth\nauth optional pam_group.so\n"
    "session required pam_limits.so\n@include common-account\n@include common-session\n"
)
SU = "auth sufficient pam_rootok.so\n@include common-auth\n@include common-account\n@include common-session\n"
RHEL_AUTH = (
    "auth required pam_env.so\nauth required pam_faildelay.so delay=2000000\n"
    "auth [default=1 ignore=ignore success=ok] pam_usertype.so isregular\n"
    "auth [default=1 ignore=ignore success=ok] pam_localuser.so\nauth sufficient pam_unix.so nullok\n"
    "auth [default=1 ignore=ignore success=ok] pam_usertype.so isregular\n"
    "auth sufficient pam_sss.so forward_pass\nauth required pam_deny.so\n"
)
RHEL_ACCOUNT = (
    "account required pam_unix.so\naccount sufficient pam_localuser.so\n"
    "account sufficient pam_usertype.so issystem\n"
    "account [default=bad success=ok user_unknown=ignore] pam_sss.so\naccount required pam_permit.so\n"
)
RHEL_SESSION = (
    "session optional pam_keyinit.so revoke\nsession required pam_limits.so\n"
    "-session optional pam_systemd.so\n"
    "session [success=1 default=ignore] pam_succeed_if.so service in crond quiet use_uid\n"
    "session required pam_unix.so\nsession optional pam_sss.so\n"
)


def debian(passwords: str = "$6$a$b", **files: str) -> MemoryGuest:
    guest = MemoryGuest()
    stacks = {
        "login": LOGIN,
        "su": SU,
        "common-auth": AUTH,
        "common-account": ACCOUNT,
        "common-session": SESSION,
        "other": "@include common-auth\n@include common-account\n@include common-session\n",
    }
    for name, text in (stacks | {n.replace("_", "-"): t for n, t in files.items()}).items():
        guest.file(f"/etc/pam.d/{name}", text)
    for program in ("login", "su"):
        guest.file(f"/usr/bin/{program}", b"x", mode=0o4755)
    guest.file("/etc/passwd", "root:x:0:0::/root:/bin/sh\n")
    guest.file("/etc/shadow", f"root:{passwords}:1::::::\n", mode=0o600)
    guest.file("/etc/group", "root:x:0:\n")
    guest.file("/bin/sh", b"x", mode=0o755)
    return guest


def rhel(**files: str) -> MemoryGuest:
    stack = RHEL_AUTH + RHEL_ACCOUNT + RHEL_SESSION
    whole = "auth substack system-auth\nauth include postlogin\naccount include system-auth\n"
    own = {
        "login": f"{whole}session include system-auth\n",
        "su": "auth required pam_env.so\nauth sufficient pam_rootok.so\nauth substack system-auth\n"
        "account sufficient pam_succeed_if.so uid = 0 use_uid quiet\naccount include system-auth\n"
        "session include system-auth\n",
        "system_auth": stack,
        "postlogin": "session optional pam_lastlog.so\n",
    }
    guest = debian(**(own | files))
    for name in ("common-auth", "common-account", "common-session"):
        guest.remove(f"/etc/pam.d/{name}")
    guest.file("/etc/pam.d/other", "auth required pam_deny.so\naccount required pam_deny.so\n")
    return guest


def findings(guest: MemoryGuest) -> list[Finding]:
    found, inconclusive = run_analyzer(ANALYZER, Context(guest))
    assert inconclusive == []
    return [f for f in found if f.rule == "system/pam-flow"]


def mended(finding: Finding) -> str:
    assert finding.repair is not None
    assert finding.repair.safety is Safety.REVIEW
    (change,) = finding.repair.changes
    assert isinstance(change, EditFile)
    return change.after.decode()


REQUIRED_DENY, REQUIRED_UNIX = "auth required pam_deny.so\n", "auth required pam_unix.so\n"
TWO = (
    "auth [success=2 default=ignore] pam_unix.so\nauth [success=1 default=ignore] pam_sss.so use_first_pass\n"
)


@pytest.mark.parametrize(
    "guest",
    [
        debian(),
        debian(common_auth=TWO + DENY + PERMIT + "auth optional pam_cap.so\n"),
        debian(common_auth="auth required pam_unix.so\n"),
        debian(common_auth="auth sufficient pam_unix.so\nauth required pam_deny.so\n"),
        debian(login=LOGIN + "auth required pam_google_authenticator.so nullok\n"),
        debian(login="auth [user_unknown=ignore success=ok default=bad] pam_securetty.so\n" + LOGIN),
        debian(common_auth="auth [success=1 new_authtok_reqd=1 default=die] pam_unix.so\n" + DENY + PERMIT),
        debian(common_auth="auth [success=done default=die] pam_systemd_home.so\n" + AUTH),
        debian(common_auth="-auth required pam_gone.so\n" + AUTH),
        debian(common_auth="auth requisite pam_faillock.so preauth\n" + TWO + DENY + PERMIT),
        debian(su="auth required pam_deny.so\n@include common-account\n@include common-session\n"),
        rhel(),
        rhel(system_auth=RHEL_AUTH.replace("sufficient pam_unix", "[success=done default=1] pam_unix")
             + RHEL_ACCOUNT + RHEL_SESSION),
    ],
)  # fmt: skip
def test_stacks_that_work(guest: MemoryGuest) -> None:
    assert findings(guest) == []


@pytest.mark.parametrize(
    ("broken", "line", "right"),
    [
        (AUTH.replace("success=1", "success=2"), 1, AUTH),
        (AUTH.replace("success=1", "success=3"), 1, AUTH),
        (AUTH.replace("success=1", "success=9"), 1, AUTH),
        (f"# c\n\n{AUTH}".replace("success=1", "success=2"), 3, f"# c\n\n{AUTH}"),
        (
            TWO.replace("=2", "=4").replace("=1", "=3") + DENY + PERMIT,
            1,
            TWO + DENY + PERMIT,
        ),
        (TWO.replace("=2", "=1") + DENY + PERMIT, 1, TWO + DENY + PERMIT),
        (TWO.replace("=2", "=3") + DENY + PERMIT, 1, TWO + DENY + PERMIT),
        (DENY + AUTH, 1, f"# {DENY}{AUTH}"),
        (DENY + UNIX + PERMIT, 1, UNIX + DENY + PERMIT),
        (AUTH.replace("success=1", "success=ok"), 1, AUTH),
        (AUTH.replace("success=1", "success=bad"), 1, AUTH),
        (UNIX + DENY, 2, UNIX + DENY + "auth\trequired\tpam_permit.so\n"),
        (f"{REQUIRED_DENY}{REQUIRED_UNIX}", 1, f"# {REQUIRED_DENY}{REQUIRED_UNIX}"),
    ],
)  # fmt: skip
def test_a_stack_that_nobody_gets_through(broken: str, line: int, right: str) -> None:
    (finding,) = findings(debian(common_auth=broken))
    assert (finding.severity, finding.effect) == (ERROR, Effect.STOPS_LOGIN)
    assert finding.subject == f"/etc/pam.d/common-auth:{line}"
    assert mended(finding) == right
    assert findings(debian(common_auth=right)) == []


@pytest.mark.parametrize(
    ("broken", "subject"),
    [
        (RHEL_AUTH.replace("auth sufficient pam_unix", f"{DENY}auth sufficient pam_unix"), 5),
        ("auth required pam_deny.so\n" + RHEL_AUTH, 1),
        (RHEL_AUTH.replace("sufficient pam_unix", "[success=9 default=ignore] pam_unix"), 5),
    ],
)  # fmt: skip
def test_the_same_on_rhel(broken: str, subject: int) -> None:
    (finding,) = findings(rhel(system_auth=broken + RHEL_ACCOUNT + RHEL_SESSION))
    assert finding.severity is ERROR
    assert finding.subject == f"/etc/pam.d/system-auth:{subject}"


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("common_account", ACCOUNT.replace("success=1", "success=3"), 1),
        ("common_account", "account requisite pam_deny.so\n" + ACCOUNT, 1),
        ("common_session", SESSION.replace("[default=1]", "[default=9]"), 1),
        ("common_session", SESSION.replace("[default=1]", "required"), 2),
    ],
)
def test_account_and_session(name: str, text: str, line: int) -> None:
    (finding,) = findings(debian(**{name: text}))
    assert finding.severity is ERROR
    assert finding.subject == f"/etc/pam.d/{name.replace('_', '-')}:{line}"


def test_without_any_password_it_keeps_nobody_out_that_could_come_in() -> None:
    broken = AUTH.replace("success=1", "success=2")
    (finding,) = findings(debian(passwords="!", common_auth=broken))
    assert finding.severity is WARNING


@pytest.mark.parametrize(
    ("opened", "line"),
    [
        ("auth sufficient pam_permit.so\n" + AUTH, 1),
        ("auth [success=1 default=ignore] pam_unix.so\n" + PERMIT + PERMIT, 2),
        ("auth sufficient pam_unix.so\nauth sufficient pam_permit.so\n", 2),
        (AUTH.replace("default=ignore", "default=1"), 3),
    ],
)
def test_a_stack_that_everybody_gets_through(opened: str, line: int) -> None:
    (finding,) = findings(debian(common_auth=opened))
    assert (finding.severity, finding.effect) == (WARNING, Effect.HYGIENE)
    assert finding.subject.startswith("/etc/pam.d/common-auth:")
    assert "whatever the password" in finding.message


def test_a_service_without_lines_of_a_type() -> None:
    """PAM asks its service other then; of sudo no login hangs on that."""
    guest = rhel(sudo="auth include system-auth\naccount include system-auth\n")
    guest.file("/usr/bin/sudo", b"x", mode=0o4755)
    assert findings(guest) == []
    guest = rhel(login="auth substack system-auth\naccount include system-auth\n")
    (finding,) = findings(guest)
    assert (finding.severity, finding.subject) == (ERROR, "/etc/pam.d/login:1")


def test_an_include_that_is_not_there() -> None:
    guest = debian()
    guest.remove("/etc/pam.d/common-account")
    (login,) = (f for f in findings(guest) if f.subject.startswith("/etc/pam.d/login"))
    assert login.severity is ERROR


def test_what_cannot_be_read_is_not_judged() -> None:
    guest = debian()
    guest.file("/etc/pam.d/common-auth", AUTH).unreadable = "Input/output error"
    _, inconclusive = run_analyzer(ANALYZER, Context(guest))
    assert any("common-auth" in item.reason for item in inconclusive)


@given(
    st.lists(st.sampled_from([*AUTH.splitlines(), *TWO.splitlines(), *RHEL_AUTH.splitlines()]), max_size=20)
)
def test_any_order_of_lines_is_judged(lines: list[str]) -> None:
    run_analyzer(ANALYZER, Context(debian(common_auth="".join(f"{line}\n" for line in lines))))


def test_a_file_that_is_drawn_in_and_gone_is_what_to_bring_back() -> None:
    guest = rhel()
    guest.remove("/etc/pam.d/system-auth")
    guest.link("/etc/pam.d/system-auth", "/etc/authselect/system-auth")
    found = findings(guest)
    assert found
    for each in found:
        assert "/etc/pam.d/system-auth, which it draws in, is not there" in each.message
        assert each.repair is not None
        assert each.repair.safety is Safety.MANUAL
        assert each.repair.summary.startswith("bring /etc/pam.d/system-auth back")
