"""audit.log: records joined, values decoded, and who is behind them."""

from __future__ import annotations

from guestrepair.events.audit import AuditLog
from guestrepair.events.model import Event, Unread
from guestrepair.guest.memory import MemoryGuest
from guestrepair.system.accounts import Accounts
from tests.unit.events.read import read

AT = "msg=audit(1700000000.123:7):"
CALL = f"type=SYSCALL {AT} arch=c000003e syscall={{call}} success={{ok}} exit=0 a0=1 a1=2 a2={{flags}} "
CALL += 'a3=0 items=2 pid=42 auid=1000 uid=0 tty=pts0 ses=3 comm="vim" exe="/usr/bin/vim" key="etc"'
CWD = f'type=CWD {AT} cwd="/etc"'
PARENT = f'type=PATH {AT} item=0 name="/etc/" inode=1 nametype=PARENT'
PATH = f'type=PATH {AT} item=1 name="fstab" inode=2 nametype=CREATE'
TITLE = f"type=PROCTITLE {AT} proctitle=" + b"vim\0/etc/fs tab".hex().upper()


def audited(*lines: str) -> tuple[list[Event], list[Unread]]:
    guest = MemoryGuest()
    guest.file("/etc/passwd", "root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n")
    guest.file("/var/log/audit/audit.log", "".join(f"{line}\n" for line in lines))
    return read(AuditLog(guest, Accounts(guest)))


def call(number: int = 257, ok: str = "yes", flags: str = "241") -> str:
    return CALL.format(call=number, ok=ok, flags=flags)


def test_a_path_that_was_changed_names_who_had_logged_in() -> None:
    other = "type=SERVICE_START msg=audit(1700000000.123:8): pid=1 uid=0 auid=4294967295 "
    other += "msg='unit=ssh res=success'"
    events, unread = audited(call(), other, CWD, PARENT, PATH, TITLE)
    assert not unread
    changed = next(e for e in events if e.path)
    assert (changed.path, changed.actor, changed.get("record")) == ("/etc/fstab", "alice", "audit")
    assert changed.time_ns == 1_700_000_000_123_000_000
    assert changed.message == "vim '/etc/fs tab' (create /etc/fstab)"
    assert changed.source == "/var/log/audit/audit.log:1"
    assert {("pwd", "/etc"), ("key", "etc"), ("pid", "42"), ("session", "3")} <= set(changed.detail)
    service = next(e for e in events if e.kind == "service")
    assert (service.message, service.actor) == ("ssh: started", None)


def test_what_was_only_read_or_refused_changed_nothing() -> None:
    for record in (call(flags="80000"), call(ok="no")):
        events, _ = audited(record, CWD, PARENT, PATH, TITLE)
        assert [(e.path, e.get("name"), e.kind.value) for e in events] == [(None, "/etc/fstab", "log")]


def test_a_command_that_was_run() -> None:
    run = f'type=EXECVE {AT} argc=3 a0="rm" a1=2D72 a2[0]="/etc/" a2[1]=78'
    program = f'type=PATH {AT} item=0 name="/usr/bin/rm" nametype=NORMAL'
    events, _ = audited(call(59), run, CWD, program, TITLE, f"type=EOE {AT} ")
    assert [(e.kind.value, e.message, e.path, e.actor, e.get("pwd")) for e in events] == [
        ("command", "rm -r /etc/x", None, "alice", "/etc")
    ]


def test_sudo_logins_accounts_packages_and_boots() -> None:
    def said(kind: str, text: str, auid: int = 1000) -> str:
        return f"type={kind} msg=audit(1700000000.1:{kind}): ".replace(
            f":{kind})", f":{abs(hash(kind)) % 10**6})"
        ) + (f'pid=9 uid=0 auid={auid} ses=3 msg=\'{text}\'\x1dUID="root" AUID="alice"')

    events, unread = audited(
        said("USER_CMD", f'cwd="/srv" cmd={b"rm a".hex().upper()} terminal=pts/0 res=success'),
        said("USER_START", 'op=PAM:session_open acct="alice" exe="/usr/sbin/sshd" addr=10.0.0.1 res=success'),
        said("USER_END", 'op=PAM:session_close acct="alice" exe="/usr/sbin/sshd" res=success'),
        said("USER_AUTH", 'op=PAM:authentication acct="root" exe="/usr/sbin/sshd" addr=10.0.0.9 res=failed'),
        said("ADD_USER", 'op=adding user acct="bob" exe="/usr/sbin/useradd" res=success'),
        said("SOFTWARE_UPDATE", 'op=install sw="vim-9.0-1.x86_64" res=success'),
        said("SYSTEM_BOOT", 'comm="x" res=success', 4294967295),
    )
    assert not unread
    assert [(e.kind.value, e.actor, e.get("action")) for e in events] == [
        ("command", "alice", ""), ("login", "alice", "login"), ("login", "alice", "logout"),
        ("login", "alice", "failed"), ("account", "alice", ""), ("package", "alice", ""),
        ("boot", None, "boot"),
    ]  # fmt: skip
    assert (events[0].message, events[0].get("pwd")) == ("rm a", "/srv")
    assert events[1].get("from") == "10.0.0.1"
    assert events[4].get("user") == "bob"
    assert events[5].get("package") == "vim"


def test_records_that_are_none_cost_themselves() -> None:
    events, unread = audited("garbage", call()[:72], "type=X msg=audit(1.1:1): a=b")
    assert [e.message for e in events] == ["system call 257", "X a=b"]
    assert [u.source for u in unread] == ["/var/log/audit/audit.log:1"]
    assert audited() == ([], [])


def test_an_event_without_end_is_bounded() -> None:
    lines = [f"type=SYSCALL msg=audit(1700000000.1:{n}): syscall=1 auid=0" for n in range(600)]
    events, _ = audited(*lines, *lines)
    assert len(events) >= 600
    assert {e.actor for e in events} == {"root"}
