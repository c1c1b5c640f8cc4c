"""Records of logins, of audit, histories and repositories that other programs wrote or read."""

from __future__ import annotations

import contextlib
import os
import pty
import random
import re
import shutil
import sqlite3
import struct
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from guestrepair.events.audit import AuditLog
from guestrepair.events.etckeeper import Etckeeper
from guestrepair.events.logins import LoginRecords
from guestrepair.events.model import Event, Reader
from guestrepair.formats.audit_log import parse_audit_line
from guestrepair.formats.shell_history import parse_bash_history, parse_fish_history, parse_zsh_history
from guestrepair.formats.utmp import LoginRecord, parse_utmp
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import GuestPath
from guestrepair.packages.sqlite_open import read_tables
from guestrepair.system.accounts import Accounts
from tests.unit.events.read import read

RECORD = struct.Struct("<h2xi32s4s32s256shhiii16s20x")
MANY = 2_000


def all_events(reader: Reader) -> list[Event]:
    events, unread = read(reader)
    assert not unread
    return events


def needs(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"no {program} on this host")
    return found


def run(*words: str, home: Path | None = None, given: str | None = None) -> str:
    environment = {
        "PATH": os.environ["PATH"],
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "HOME": str(home or "/nonexistent"),
    }
    done = subprocess.run(
        words, capture_output=True, timeout=120, check=True, env=environment, input=given, text=True
    )
    return done.stdout


@pytest.fixture(scope="module")
def logins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sessions on many lines, boots and shutdowns between them, in order."""
    draw = random.Random(16)  # noqa: S311
    path, now, open_lines = tmp_path_factory.mktemp("logins") / "wtmp", 1_600_000_000, dict[str, int]()
    with path.open("wb") as file:
        for _ in range(MANY):
            now += draw.randint(1, 5_000)
            line = f"pts/{draw.randint(0, 20)}"
            what = draw.random()
            if what < 0.02:
                file.write(record(1, "shutdown", "~~", 0, now, "6.1.0"))
                file.write(record(2, "reboot", "~", 0, now + 30, "6.1.0"))
                now, open_lines = now + 60, {}
            elif line in open_lines:
                file.write(record(8, "", line, open_lines.pop(line), now))
            else:
                open_lines[line] = draw.randint(2, 30_000)
                who, place = f"user{draw.randint(0, 9)}", f"10.0.0.{draw.randint(1, 250)}"
                file.write(record(7, who, line, open_lines[line], now, place))
    return path


def record(kind: int, user: str, line: str, pid: int, seconds: int, host: str = "") -> bytes:
    texts = (line.encode(), line[-4:].encode(), user.encode(), host.encode())
    return RECORD.pack(kind, pid, *texts, 0, 0, 0, seconds, 0, bytes(16))


def test_utmpdump_reads_the_same_records(logins: Path) -> None:
    form = r"^\[(\d)\] \[(\d+)\] \[.{4}\] \[(.{8}) *\] \[(.{12}) *\] \[.{20} *\] \[.*?\] \[([^\]]+)"
    dumped = re.findall(form, run(needs("utmpdump"), str(logins)), re.MULTILINE)
    ours = [r for r in parse_utmp([logins.read_bytes()]) if isinstance(r, LoginRecord)]
    assert [(int(k), int(p), u.strip(), line.strip()) for k, p, u, line, _ in dumped] == [
        (r.type, r.pid, r.user, r.line) for r in ours
    ]
    assert [int(datetime.fromisoformat(t.replace(",", ".")).timestamp()) for *_, t in dumped] == [
        r.time_ns // 10**9 for r in ours
    ]
    print(f"\nutmpdump: {len(ours)} records, all alike")


def test_last_pairs_the_same_logins_and_logouts(logins: Path) -> None:
    lines = run(needs("last"), "-w", "--time-format", "iso", "-f", str(logins)).splitlines()
    theirs = set()
    for line in lines:
        found = re.match(r"(user\d)\s+(pts/\d+)\s+(\S+)\s+(\S+)(?: - (\d{4}\S+))?", line)
        if found:
            theirs.add((found[1], found[2], found[3], stamp(found[4]), stamp(found[5]) if found[5] else None))
    guest = MemoryGuest()
    guest.file("/var/log/wtmp", logins.read_bytes())
    ours: set[tuple[str | None, str, str, int, int | None]] = set()
    begun: dict[str, tuple[str | None, str, str, int]] = {}
    for event in all_events(LoginRecords(guest)):
        seconds, line = event.time_ns // 10**9, event.get("line")
        if event.get("action") == "login":
            begun[line] = (event.actor, line, event.get("from"), seconds)
        elif event.get("action") == "logout":
            assert event.actor == begun[line][0]
            ours.add((*begun.pop(line), seconds))
        elif event.get("action") in {"shutdown", "boot"}:
            ours |= {(*each, None) for each in begun.values()}
            begun.clear()
    ours |= {(*each, None) for each in begun.values()}
    ended = {each for each in ours if each[4] is not None}
    assert ended <= theirs
    # Of those that a shutdown ended, last says when that was, or "down" and "crash".
    assert {each[:4] for each in ours} == {each[:4] for each in theirs}
    print(f"\nlast: {len(ours)} logins, {len(ended)} with their logouts")


def stamp(text: str) -> int:
    return int(datetime.fromisoformat(text.replace(",", ".")).timestamp())


def test_lastb_reads_the_same_failures(tmp_path: Path) -> None:
    path = tmp_path / "btmp"
    failures = [
        record(6, f"u{n % 7}", "ssh:notty", n + 1, 1_600_000_000 + n * 9, "10.0.0.1") for n in range(500)
    ]
    path.write_bytes(b"".join(failures))
    said = run(needs("lastb"), "-w", "--time-format", "iso", "-f", str(path))
    found = re.findall(r"^(u\d)\s+ssh:nott\S*\s+\S+\s+(\S+)", said, re.MULTILINE)
    theirs = [(name, stamp(time)) for name, time in found]
    guest = MemoryGuest()
    guest.file("/var/log/btmp", path.read_bytes())
    ours = [(e.get("user"), e.time_ns // 10**9) for e in all_events(LoginRecords(guest))]
    assert ours == theirs[::-1]
    print(f"\nlastb: {len(ours)} failures, all alike")


AT = "msg=audit({t}.{ms:03}:{n}):"
IDS = "auid=1000 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0"
AUDIT = (
    f"type=SYSCALL {AT} arch=c000003e syscall=257 success=yes exit=3 a0=ffffff9c a1=7ff a2=241 a3=1b6 "
    f'items=2 ppid=9 pid={{pid}} {IDS} tty=pts0 ses=4 comm="vim" exe="/usr/bin/vim.basic" key="etc"\n'
    f'type=CWD {AT} cwd="/etc"\n'
    f'type=PATH {AT} item=0 name="/etc/" inode=1 dev=fe:01 mode=040755 ouid=0 ogid=0 rdev=00:00 '
    "nametype=PARENT cap_fp=0 cap_fi=0 cap_fe=0 cap_fver=0 cap_frootid=0\n"
    f"type=PATH {AT} item=1 name={{name}} inode=2 dev=fe:01 mode=0100644 ouid=0 ogid=0 rdev=00:00 "
    "nametype=CREATE cap_fp=0 cap_fi=0 cap_fe=0 cap_fver=0 cap_frootid=0\n"
    f"type=PROCTITLE {AT} proctitle={{title}}\n"
    f"type=EOE {AT} \n"
)


def test_ausearch_names_the_same_paths(tmp_path: Path) -> None:
    program = needs("ausearch")
    names = [f"/etc/file {n} ä" if n % 2 else f"/etc/file{n}" for n in range(300)]
    path = tmp_path / "audit.log"
    path.write_text("".join(
        AUDIT.format(
            t=1_700_000_000 + n, ms=n % 1000, n=n + 1, pid=100 + n,
            name=name.encode().hex().upper() if n % 2 else f'"{name}"',
            title=f"vim\0{name}".encode().hex().upper(),
        )
        for n, name in enumerate(names)
    ))  # fmt: skip
    said = run(program, "-if", str(path), "-i")
    theirs = re.findall(r"^type=PATH .*?audit\((.*?)\).* item=1 name=(.*?) inode=", said, re.MULTILINE)
    guest = MemoryGuest()
    guest.file("/etc/passwd", "alice:x:1000:1000::/:/bin/sh\n")
    guest.file("/var/log/audit/audit.log", path.read_bytes())
    events = all_events(AuditLog(guest, Accounts(guest)))
    assert [e.path for e in events] == [name.strip() for _, name in theirs] == names
    when = [datetime.strptime(t.rpartition(":")[0] + "+0000", "%m/%d/%y %H:%M:%S.%f%z") for t, _ in theirs]
    assert [round(each.timestamp() * 1000) for each in when] == [e.time_ns // 10**6 for e in events]
    assert {e.actor for e in events} == {"alice"}
    assert parse_audit_line(path.read_text().split("\n")[0]) is not None
    print(f"\nausearch: {len(events)} events, the same paths")


COMMANDS = ["ls -l", "echo 'a b'", "vim /etc/fstab", "echo ü \\\\ x", "for i in 1 2; do echo $i; done"]


def lines_of(path: Path) -> list[tuple[int, str]]:
    text = path.read_bytes().decode("utf-8", "surrogateescape")
    return [(number, line) for number, line in enumerate(text.split("\n"), 1) if line]


@pytest.mark.parametrize("timed", [True, False])
def test_bashs_own_history(tmp_path: Path, timed: bool) -> None:
    several = "if true\nthen echo 'x\ny'\nfi"
    format_of_times = "HISTTIMEFORMAT=%s; " if timed else ""
    wanted = [*COMMANDS, several] if timed else COMMANDS
    script = f"set -o history; shopt -s cmdhist lithist; {format_of_times}\n"
    script += (
        "".join(f"history -s -- {quoted(each)}\n" for each in wanted)
        + f"history -w {tmp_path}/h; unset HISTFILE\n"
    )
    begun = int(datetime.now(UTC).timestamp())
    run(needs("bash"), "-c", script, home=tmp_path)
    found = [e for e in parse_bash_history(lines_of(tmp_path / "h")) if "history" not in e.command]
    assert [e.command for e in found] == wanted
    assert all((e.seconds is not None and begun - 2 <= e.seconds <= begun + 60) is timed for e in found)
    print(f"\nbash: {len(found)} commands {'with' if timed else 'without'} times")


def quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def test_zshs_own_history(tmp_path: Path) -> None:
    program = needs("zsh")
    wanted = [*COMMANDS, "echo 'x\ny'"]
    script = f"setopt EXTENDED_HISTORY; fc -p {tmp_path}/h 99 99\n"
    script += (
        "".join(f"print -s -- {quoted(each.replace(chr(92), chr(92) * 2))}\n" for each in wanted) + "fc -W\n"
    )
    run(program, "-f", "-i", "-c", script, home=tmp_path)
    found = list(parse_zsh_history(lines_of(tmp_path / "h")))
    assert [e.command for e in found] == wanted
    assert all(e.seconds for e in found)
    print(f"\nzsh: {len(found)} commands")


def test_fishs_own_history(tmp_path: Path) -> None:
    program = needs("fish")
    script = "".join(f"{each}\n" for each in ("echo one", "echo 'a b'", "echo ü"))
    pid, terminal = pty.fork()  # fish keeps no history of what is no terminal
    if not pid:
        environment = {"HOME": str(tmp_path), "TERM": "dumb", "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
        os.execve(program, ["fish", "-i"], environment)  # noqa: S606 - a shell is what is asked
    os.write(terminal, (script + "exit\n").encode())
    with contextlib.suppress(OSError):
        while os.read(terminal, 4096):
            pass
    os.waitpid(pid, 0)
    path = tmp_path / ".local/share/fish/fish_history"
    if not path.exists():
        pytest.skip("fish wrote no history here")
    found = [e.command for e in parse_fish_history(lines_of(path)) if e.seconds]
    assert [c for c in found if c.startswith("echo")] == ["echo one", "echo 'a b'", "echo ü"]
    print(f"\nfish: {len(found)} commands")


@pytest.mark.parametrize("packed", [False, True])
def test_gits_own_repository(tmp_path: Path, packed: bool) -> None:
    git = needs("git")
    work = tmp_path / "etc"
    work.mkdir()
    who = (
        "-c",
        "user.name=alice",
        "-c",
        "user.email=alice@h",
        "-c",
        "init.defaultBranch=master",
        "-c",
        "gc.auto=0",
    )
    run(git, "-C", str(work), *who, "init", "-q")
    for number in range(40):
        (work / "file").write_text(f"{number}\n")
        run(git, "-C", str(work), *who, "add", "-A")
        run(git, "-C", str(work), *who, "commit", "-q", "-m", f"change {number}\n\n{'long ' * 40}")
    if packed:
        run(git, "-C", str(work), "gc", "-q", "--aggressive")
    log = run(git, "-C", str(work), "log", "--format=%h %at %s", "--abbrev=12")
    theirs = [line.split(" ", 2) for line in log.splitlines()]
    guest = MemoryGuest()
    guest.file("/etc/passwd", "alice:x:1000:1000::/:/bin/sh\n")
    for file in (work / ".git").rglob("*"):
        if file.is_file():
            guest.file(f"/etc/.git/{file.relative_to(work / '.git')}", file.read_bytes())
    ours = all_events(Etckeeper(guest, Accounts(guest)))
    assert [
        [e.source.rpartition(" ")[2], str(e.time_ns // 10**9), e.message.removeprefix("etckeeper: ")]
        for e in ours
        if e.path is None
    ] == theirs  # fmt: skip
    assert [e.path for e in ours if e.path is not None] == ["/etc/file"] * 39
    assert len(ours) == 40 + 39
    print(f"\ngit: 40 commits, {'packed' if packed else 'loose'}")


def test_sqlites_own_rows(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "x.db")
    connection.execute("CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT, c REAL, d BLOB)")
    connection.executemany(
        "INSERT INTO t VALUES(?, ?, ?, ?)", [(n, f"ü{n}\n", n / 3, b"x") for n in range(20_000)]
    )
    connection.commit()
    theirs = connection.execute("SELECT a, b, c FROM t").fetchall()
    connection.close()
    guest = MemoryGuest()
    guest.file("/x.db", (tmp_path / "x.db").read_bytes())
    problems: list[str] = []
    ours = [row for _, row in read_tables(guest, GuestPath("/x.db"), {"t": ("a", "b", "c")}, problems.append)]
    assert (ours, problems) == (theirs, [])
    print(f"\nsqlite: {len(ours)} rows")
