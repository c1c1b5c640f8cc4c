"""system/sudoers: the grammar's refusals and their repair, includes, and who can still become root."""

from __future__ import annotations

import pytest

from guestrepair.analyzers.base import Context, run_analyzer
from guestrepair.analyzers.system import ANALYZER
from guestrepair.formats import sudoers
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import EditFile, Finding, Safety, Severity

ERROR, WARNING = Severity.ERROR, Severity.WARNING
RULES = "root ALL=(ALL:ALL) ALL\n%sudo ALL=(ALL:ALL) ALL\n@includedir /etc/sudoers.d\n"


def server(
    rules: str = RULES, *, root: str = "!", ann: str = "$6$a$b", groups: str = "sudo:x:27:ann"
) -> MemoryGuest:
    guest = MemoryGuest()
    guest.file("/etc/passwd", "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n")
    guest.file("/etc/shadow", f"root:{root}:1::::::\nann:{ann}:1::::::\n", mode=0o600)
    guest.file("/etc/group", f"root:x:0:\nann:x:1000:\n{groups}\n")
    guest.file("/bin/sh", b"x", mode=0o755)
    guest.file("/usr/bin/sudo", b"x", mode=0o4755)
    guest.file("/etc/sudoers", rules, mode=0o440)
    return guest


def findings(guest: MemoryGuest) -> list[Finding]:
    found, inconclusive = run_analyzer(ANALYZER, Context(guest))
    assert inconclusive == []
    return [f for f in found if f.rule == "system/sudoers"]


@pytest.mark.parametrize(
    "line",
    [
        "ann ALL=(ALL) NOPASWD: ALL",
        "ann ALL=(ALL) NOPASSWD ALL",
        "ann ALL=(ALL) ls",
        "ann ALL=(ALL:ALL:ALL) ALL",
        "ann ALL=(ALL) ALL,",
        "User_Alias ops = ann",
        "Cmnd_Alias X = /bin/a, ls",
        "ann ALL=sha224:abc /bin/ls",
        "ann ALL=TIMEOUT=soon /bin/ls",
        "ann ALL=CWD=tmp /bin/ls",
        "Defaults secure_path=/a /b",
        "Defaults",
        "@include",
        '"" ALL=ALL',
        "User_Alias A = ann\nUser_Alias A = bob",
    ],
)
def test_a_line_that_is_none(line: str) -> None:
    guest = server(f"{RULES}{line}\n# end\n")
    (finding,) = findings(guest)
    number = 3 + len(line.split("\n"))
    assert (finding.severity, finding.subject) == (ERROR, f"/etc/sudoers:{number}")
    assert finding.repair is not None
    assert finding.repair.safety is Safety.REVIEW
    (change,) = finding.repair.changes
    assert isinstance(change, EditFile)
    guest.file("/etc/sudoers", change.after, mode=0o440)
    assert findings(guest) == []
    assert change.after.count(b"# ") == guest.nodes[change.path].content.count(b"# ")


@pytest.mark.parametrize(
    "line",
    [
        "ann ALL = (root) CWD=/tmp TIMEOUT=5m NOPASSWD: SETENV: /bin/ls -l, !/bin/su",
        "%#27 ALL=(ALL) ALL",
        '"%odd group" ALL=(ALL) ALL',
        "+net 10.0.0.0/8=(ALL) ALL : srv = /bin/ls",
        "ann ALL=sudoedit /etc/hosts",
        "User_Alias OPS = ann, \\\n    bob\nOPS ALL=(ALL) ALL",
        "Defaults:ann !lecture, passwd_tries=5",
        'Defaults env_keep += "A B"',
        "#1000 ALL=ALL",
        "#include-me not",
        "ann ALL=^/bin/(ls|cat)$",
        "DOM\\\\user ALL=ALL",
    ],
)
def test_lines_that_sudo_takes(line: str) -> None:
    assert findings(server(f"{RULES}{line}\n")) == []


@pytest.mark.parametrize(
    ("text", "release", "valid"),
    [
        ("@includedir /etc/sudoers.d\n", (1, 8, 23), False),
        ("@includedir /etc/sudoers.d\n", (1, 9, 5), True),
        ("#includedir /etc/sudoers.d\n", (1, 8, 23), True),
        ("a ALL=CWD=/tmp ALL\n", (1, 8, 31), False),
        ("a ALL=INTERCEPT: ALL\n", (1, 9, 5), False),
        ("a ALL=^/bin/ls$\n", (1, 9, 5), False),
        ("a ALL=NOTBEFORE=2026010100 ALL\n", (1, 8, 19), False),
    ],
)
def test_words_that_a_release_does_not_know(text: str, release: sudoers.Release, valid: bool) -> None:
    assert all(not line.problem for line in sudoers.parse(text.encode(), release)) is valid


def test_an_entry_knows_its_place() -> None:
    data = b"# c \\\n\n  a ALL=ALL, \\\n\t/bin/x # d\nb\n#1000 ALL=ALL"
    lines = sudoers.parse(data)
    assert [(line.number, bool(line.problem)) for line in lines] == [(3, False), (5, True), (6, False)]
    assert [data[line.offset : line.offset + line.length] for line in lines] == [
        b"  a ALL=ALL, \\\n\t/bin/x # d",
        b"b",
        b"#1000 ALL=ALL",
    ]


def test_an_include_that_is_not_there() -> None:
    (finding,) = findings(server(f"{RULES}@include /etc/gone\n"))
    assert (finding.severity, finding.subject) == (WARNING, "/etc/sudoers:4")
    assert findings(server(f"{RULES}@includedir /etc/gone\n@include /etc/gone.%h\n")) == []


@pytest.mark.parametrize(
    ("rules", "others", "lost"),
    [
        (RULES, {}, False),
        (RULES, {"groups": "sudo:x:27:"}, True),
        (RULES, {"groups": "sudo:x:27:", "root": "$6$a$b"}, False),
        ("root ALL=(ALL) ALL\n", {}, True),
        ("ann ALL=(ALL) ALL\n", {}, False),
        ("#1000 ALL=(ALL) ALL\n", {}, False),
        ("ALL, !ann ALL=(ALL) ALL\n", {}, True),
        ("User_Alias OPS = ann\nOPS ALL=(ALL) ALL\n", {}, False),
        ("User_Alias OPS = OPS\nOPS ALL=(ALL) ALL\n", {}, True),
        ("%27 ALL=(ALL) ALL\n", {}, True),
        ("%#27 ALL=(ALL) ALL\n", {}, False),
        (RULES, {"ann": "!"}, True),
        ("ann ALL=(ALL) NOPASSWD: ALL\n", {"ann": "!"}, False),
        ("Defaults !authenticate\nann ALL=(ALL) ALL\n", {"ann": "!"}, False),
        ("+admins ALL=(ALL) ALL\n", {}, False),
    ],
)
def test_who_is_left_to_become_root(rules: str, others: dict[str, str], lost: bool) -> None:
    found = findings(server(rules, **others))
    assert [(f.severity, f.subject) for f in found] == ([(ERROR, "/etc/sudoers")] if lost else [])


def test_ways_to_become_root_besides_sudo() -> None:
    lost = server("root ALL=(ALL) ALL\n")
    lost.file("/root/.ssh/authorized_keys", "ssh-ed25519 AAAA root\n")
    assert findings(lost) == []
    template = server("root ALL=(ALL) ALL\n")
    template.file("/usr/bin/cloud-init", b"x", mode=0o755)
    assert findings(template) == []
