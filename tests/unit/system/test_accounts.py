"""Accounts as their files have them: who may log in, in which groups, until when; what cannot be read."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest

from guestrepair.errors import GuestReadError
from guestrepair.formats.passwd import MAX_LINES, parse_shadow
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import GuestPath as P
from guestrepair.system.accounts import Account, Accounts, Ageing
from guestrepair.system.fact import Unreadable

FILES = {
    "/etc/passwd": (
        "root:x:0:0:root:/root:/bin/bash\n"
        "daemon:x:1:1::/usr/sbin:/usr/sbin/nologin\n"
        "ann:x:1000:1000::/home/ann:/bin/zsh\n"
        "ann:x:1001:1001::/elsewhere:/bin/sh\n"
        "bob:x:1002:100::home:\n"
        "git:x:1003:1003::/srv/git:/usr/bin/git-shell\n"
    ),
    "/etc/group": "root:x:0:\nusers:x:100:\nwheel:x:10:ann\nann:x:1000:\nother:x:7:ann,nobody\n",
    "/etc/shadow": "root:*:19000:0:99999:7:::\nann:$y$z:19000:0:90:7:14:20000:\nbob:!:0::::::\n",
    "/etc/gshadow": "wheel:!:ann:bob,ann\n",
}


def guest() -> MemoryGuest:
    made = MemoryGuest()
    for path, text in FILES.items():
        made.file(path, text)
    return made


def test_who_may_log_in_with_home_shell_and_groups() -> None:
    found = {a.name: (str(a.home), str(a.shell), set(a.groups), a.is_admin) for a in Accounts(guest()).login}
    assert found == {
        "root": ("/root", "/bin/bash", {"root"}, True),
        "ann": ("/home/ann", "/bin/zsh", {"ann", "wheel", "other"}, True),
        "bob": ("/", "/bin/sh", {"users"}, False),
    }


@pytest.mark.parametrize(
    ("home", "expected"),
    [("/home/x", "/home/x"), ("//home/x", "/home/x"), ("", "/"), ("x", "/"), ("/" + "x" * 5000, "/")],
)
def test_a_home_is_an_absolute_path(home: str, expected: str) -> None:
    made = MemoryGuest()
    made.file("/etc/passwd", f"x:x:1:1::{home}:/bin/sh\n")
    (account,) = Accounts(made).login
    assert account.home == P(expected)


def test_files_that_are_not_there_have_no_entry() -> None:
    accounts = Accounts(MemoryGuest())
    files = (accounts.passwd, accounts.shadow, accounts.group, accounts.gshadow, accounts.altfiles)
    assert [file.entries for file in files] == [()] * 5
    assert (accounts.login, accounts.sysusers, accounts.passwd_copies) == ((), (), ())
    assert accounts.ageing("root") is None


QUESTIONS: dict[str, tuple[str, Callable[[Accounts], object]]] = {
    "login accounts": ("/etc/passwd", lambda a: a.login),
    "groups": ("/etc/group", lambda a: a.login),
    "ages": ("/etc/shadow", lambda a: a.ageing("ann")),
    "gshadow": ("/etc/gshadow", lambda a: a.gshadow),
    "the vendor's accounts": ("/usr/lib/passwd", lambda a: a.altfiles),
    "where accounts come from": ("/etc/nsswitch.conf", lambda a: a.altfiles),
    "accounts of packages": ("/usr/lib/sysusers.d/a.conf", lambda a: a.sysusers),
}


@pytest.mark.parametrize(("path", "ask"), QUESTIONS.values(), ids=QUESTIONS)
@pytest.mark.parametrize("damage", ["input/output error", "endless"])
def test_a_file_that_cannot_be_read_answers_nothing(
    path: str, ask: Callable[[Accounts], object], damage: str
) -> None:
    made = guest()
    made.file("/etc/nsswitch.conf", "passwd: files altfiles\n")
    made.file("/usr/lib/passwd", "sshd:x:74:74:::\n")
    made.file("/usr/lib/sysusers.d/a.conf", "u sshd 74\n")
    ask(Accounts(made))
    if damage != "endless":
        made.nodes[P(path)].unreadable = damage
    elif path == "/etc/nsswitch.conf":
        made.nodes[P(path)].size_bytes = 1 << 40
    else:
        made.file(path, "a\n" * (MAX_LINES + 2))
    with pytest.raises(GuestReadError, match=path):
        ask(Accounts(made))


def test_what_is_unreadable_costs_only_what_hangs_on_it() -> None:
    made = guest()
    made.nodes[P("/etc/shadow")].unreadable = "input/output error"
    accounts = Accounts(made)
    assert [a.name for a in accounts.login] == ["root", "ann", "bob"]
    with pytest.raises(GuestReadError):
        accounts.ageing("ann")


def test_older_copies_with_what_cannot_be_read_of_them() -> None:
    made = guest()
    made.file("/etc/passwd-", "root:x:0:0::/:\n")
    made.file("/var/backups/passwd.bak", "x").unreadable = "input/output error"
    made.file("/etc/group-", "a:x:1:\n")
    accounts = Accounts(made)
    (first, sound), (second, lost) = accounts.passwd_copies
    assert (first, second) == (P("/etc/passwd-"), P("/var/backups/passwd.bak"))
    assert not isinstance(sound, Unreadable)
    assert sound.get("root") is not None
    assert isinstance(lost, Unreadable)
    assert [path for path, _ in accounts.group_copies] == [P("/etc/group-")]
    assert accounts.shadow_copies == ()


def test_gshadow_names_administrators_and_members() -> None:
    entry = Accounts(guest()).gshadow.get("wheel")
    assert entry is not None
    assert (entry.administrators, entry.members) == (("ann",), ("bob", "ann"))


@pytest.mark.parametrize(("services", "found"), [("files altfiles", True), ("files sss", False), ("", False)])
def test_the_vendors_accounts_count_where_nsswitch_says_so(services: str, found: bool) -> None:
    made = guest()
    made.file("/etc/nsswitch.conf", f"passwd: {services}\n")
    made.file("/usr/lib/passwd", "sshd:x:74:74:::\n")
    assert (Accounts(made).altfiles.get("sshd") is not None) is found


def test_sysusers_the_administrators_file_stands_for_the_packages_of_the_same_name() -> None:
    made = guest()
    made.file("/usr/lib/sysusers.d/a.conf", "u one 1\n")
    made.file("/usr/lib/sysusers.d/b.conf", "u two 2\nnonsense\n")
    made.file("/etc/sysusers.d/a.conf", "u mine 3\n")
    made.link("/etc/sysusers.d/b.conf", "/dev/null")
    assert [(str(path), line.name) for path, line in Accounts(made).sysusers] == [
        ("/etc/sysusers.d/a.conf", "mine")
    ]


# --- ageing ---------------------------------------------------------------------------

DAY = dt.date(1970, 1, 1)


def ageing(fields: str) -> Ageing:
    (entry,) = parse_shadow(f"ann:$y$z:{fields}:\n".encode()).entries
    return Ageing.of(entry)


def day(number: int) -> dt.date:
    return DAY + dt.timedelta(days=number)


@pytest.mark.parametrize(
    ("fields", "today", "answer"),
    [
        ("19000:0:99999:7::", 40_000, "success"),
        ("19000:::::", 40_000, "success"),
        ("19000:0:90:7::", 19_090, "success"),
        ("19000:0:90:7::", 19_091, "new_authtok_reqd"),
        ("19000:0:90:7:14:", 19_104, "new_authtok_reqd"),
        ("19000:0:90:7:14:", 19_105, "authtok_expired"),
        ("19000:0:90:7:14:19105", 19_105, "acct_expired"),
        ("0:0:90:7::", 19_000, "new_authtok_reqd"),
        ("19000:::::19500", 19_499, "success"),
        ("19000:::::19500", 19_500, "acct_expired"),
        ("19000:0:99999:7::0", 19_500, "acct_expired"),
        ("19000:0:4294967295:7:4294967295:4294967295", 19_500, "success"),
        ("4294967295:0:90:7::", 19_500, "success"),
        (f"{(dt.date.max - DAY).days}:0:90:7:1:", 19_500, "success"),
    ],
)
def test_an_account_and_a_password_expire(fields: str, today: int, answer: str) -> None:
    assert ageing(fields).pam_answer(day(today)) == answer


def test_sshd_itself_lets_in_on_the_day_of_expiry_and_pam_does_not() -> None:
    age = ageing("19000:::::19500")
    assert [age.has_expired(day(today), by_pam=True) for today in (19_499, 19_500, 19_501)] == [0, 1, 1]
    assert [age.has_expired(day(today), by_pam=False) for today in (19_499, 19_500, 19_501)] == [0, 0, 1]


def test_after_the_days_of_grace_the_password_cannot_be_changed() -> None:
    age = ageing("19000:0:90:7:14:20000")
    assert (age.changed, age.warning) == (day(19_000), dt.timedelta(days=7))
    assert (age.password_expires, age.locked_from, age.expires) == (day(19_090), day(19_104), day(20_000))
    assert ageing("19000:0:90:7::").locked_from is None


def test_ages_are_found_by_name() -> None:
    accounts = Accounts(guest())
    found = accounts.ageing("bob")
    assert found is not None
    assert found.must_change
    assert accounts.ageing("nobody") is None


def test_an_account_is_what_its_line_says_whoever_asks() -> None:
    accounts = Accounts(guest())
    entry = accounts.passwd.get("git")
    assert entry is not None
    assert accounts.account(entry) == Account(entry, frozenset())
