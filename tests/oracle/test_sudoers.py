"""Which sudoers files are valid: our grammar against this host's visudo, on made and on mutated files."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from guestrepair.formats import sudoers

FILES = 2500
VISUDO = shutil.which("visudo", path="/usr/sbin:/usr/bin:/sbin:/bin")
DIGEST = "0GomF8mNN3wlDt1HD9XldjJ3SNgpFdbjO1+NsQ=="
HEX = "d14a028c2a3a2bc9476102bb288234c415a2b01f828ea62ac5b3e42f"

USERS = (
    "root",
    "%sudo",
    "%#27",
    "#1000",
    "+admins",
    "ALICE",
    "ALL",
    '"odd name"',
    "a\\,b",
    "!bob",
    "alice, bob",
    "%:group",
    "user@dom",
    "DOM\\\\user",
    "#-1",
    "%wheel , x",
    "joe.doe",
    "ann:",
)
HOSTS = (
    "ALL",
    "srv",
    "10.0.0.0/8",
    "+net",
    "!srv2",
    "WEB, db",
    "fe80::1",
    "10.0.0.1/255.0.0.0",
    "1.2.3",
    "a b",
)
RUNAS = (
    "",
    "(ALL)",
    "(ALL:ALL)",
    "(root)",
    "()",
    "(:adm)",
    "(a, !b : c)",
    "(:)",
    "(#0)",
    "(%g)",
    "( ALL : ALL )",
    "(a:b:c)",
    "(ALL",
    "(root:)",
)
OPTIONS = (
    "",
    "",
    "",
    "CWD=/tmp",
    "CHROOT=*",
    "TIMEOUT=5m",
    "TIMEOUT=1d2h",
    "TIMEOUT=x",
    "NOTBEFORE=20260101000000Z",
    "NOTAFTER=2026",
    "ROLE=a TYPE=b",
    "CWD=tmp",
    "NOTAFTER=2026010100",
    "CWD = ~/x",
    "TIMEOUT=99999999999",
)
TAGS = (
    "",
    "",
    "NOPASSWD:",
    "NOPASSWD :",
    "SETENV: NOEXEC:",
    "PASSWD:LOG_OUTPUT:",
    "NOPASS:",
    "INTERCEPT:",
    "FOLLOW:",
    "MAIL: NOMAIL:",
    "nopasswd:",
    "NOPASSWD",
)
COMMANDS = (
    "ALL",
    "/bin/ls",
    "/bin/ls -l",
    '/bin/ls ""',
    "!/bin/su",
    "/usr/bin/",
    "sudoedit /etc/x",
    "sudoedit x",
    "ls",
    "list",
    "CMDS",
    "/bin/ls, /bin/cat",
    "/bin/a\\,b",
    "/bin/x a\\=b",
    "/bin/x a=b",
    "/bin/x a:b",
    f"sha224:{DIGEST} /bin/ls",
    f"sha224:{HEX} /bin/ls",
    f"sha224 : {HEX}, sha224:{DIGEST} /bin/a",
    "sha512:ab /b",
    f"sha224:{HEX} ALL",
    f"sha224:{HEX} CMDS",
    "^/bin/(ls|cat)$",
    "^/bin/ls$ ^-l$",
    "/bin/ls ^a b$",
    "^/bin/x",
    "/bin/[[:alpha:]]*",
    "/bin/x *",
    "/bin/x # c",
    "/bin/x\\",
    "/bin/x \\\n  -y",
    "!!/bin/a",
    "/bin/x \\# a",
    "",
    "!ALL",
    "/bin/\\x",
    "/bin/x a\\xb",
    "(x) /bin/a",
    "/bin/x,",
    ",/bin/x",
    "/bin/x a!b ?",
    "/bin/x 'q q'",
)
OTHERS = (
    "Defaults env_reset",
    "Defaults\tmail_badpass",
    'Defaults secure_path="/a:/b"',
    "Defaults !lecture",
    "Defaults:alice !lecture, passwd_tries=5",
    "Defaults@srv log_year",
    "Defaults>root !set_logname",
    "Defaults!/bin/ls noexec",
    "Defaults!CMDS noexec",
    'Defaults env_keep += "A B"',
    "Defaults env_keep -= A",
    'Defaults badpass_message="x',
    'Defaults badpass_message=""',
    "Defaults",
    "Defaults env_reset,",
    "Defaults =x",
    "Defaults passwd_tries=",
    "Defaults env_keep=A B",
    "Defaults : alice !lecture",
    "Defaults:ALICE,bob lecture",
    "Defaults!/bin/ls -l noexec",
    "defaults env_reset",
    "Defauts env_reset",
    "Defaults env_reset # c",
    'Defaults secure_path="/a:\\\n  /b"',
    "Defaults editor=/usr/bin/vi:/bin/x",
    "Defaults passprompt=a\\ b",
    "Defaults:%sudo !lecture",
    "Defaults:#1000 !lecture",
    "Defaults: lecture",
    "Defaults:a,  b lecture",
    "User_Alias ALICE = alice, %x",
    "User_Alias A=b:C=d",
    "Host_Alias WEB = w1, 10.0.0.1",
    "Cmnd_Alias CMDS = /bin/a, \\\n\t/bin/b",
    "Cmd_Alias X9 = /bin/x",
    "Runas_Alias OP = op, #0",
    "User_Alias alice = bob",
    "User_Alias ALL = bob",
    "User_Alias A =",
    "User_Alias = bob",
    "Cmnd_Alias X = ls",
    "Host_Alias H = a b",
    "User_Alias A = b, C = d",
    "User_Alias\tA=b",
    "Runas_Alias CWD = a",
    "User_Alias A1_B = !x, !!y",
    "#includedir /nonexistent-dir",
    "@includedir /nonexistent-dir",
    "# a comment \\",
    "#",
    "#1000 ALL=ALL",
    "# -x",
    "#-x",
    "  \t ",
    "alice",
    "alice ALL",
    "=ALL",
    "alice =ALL",
    "ALL ALL=(ALL) ALL : srv = /bin/x",
    "alice ALL = ALL :",
    "a ALL=ALL b",
    "alice ALL=ALL\r",
    "\\",
    "a\\",
    ", b ALL=ALL",
    "a b c",
    '"" ALL=ALL',
    '"%" ALL=ALL',
    "% ALL=ALL",
    "+ ALL=ALL",
    "a\tALL\t=\tALL",
    "a,\\\n b ALL=ALL",
    "\\\nDefaults x",
    "User_Alias A = a\nUser_Alias A = b",
    "User_Alias A = a\nHost_Alias A = b",
    "@include",
    "#include",
    "@includedir",
    "alice ALL=ALL # c",
    "alice ALL=ALL #1000",
    "alice ALL=ALL@include x",
    "%sudo ALL=(ALL:ALL) ALL",
    'a ALL="x"',
)


def rule(chance: random.Random) -> str:
    parts = [chance.choice(group) for group in (RUNAS, OPTIONS, TAGS, COMMANDS)]
    who = f"{chance.choice(USERS)} {chance.choice(HOSTS)}{chance.choice(('=', ' = '))}"
    text = who + " ".join(filter(None, parts))
    if chance.random() < 0.15:
        text += f" : {chance.choice(HOSTS)} = {chance.choice(COMMANDS)}"
    return text


def simple(chance: random.Random) -> str:
    what = [chance.choice(group) for group in (RUNAS[:8], TAGS[:6], COMMANDS)]
    return f"{chance.choice(USERS[:12])} ALL={' '.join(what)}"


def mutated(chance: random.Random, text: str) -> str:
    for _ in range(chance.choice((0, 0, 1, 1, 2))):
        at = chance.randint(0, len(text))
        mark = chance.choice(
            ("", ",", "=", ":", "!", "\\", '"', "(", ")", "#", " ", "\n", "\\\n", "%", "ALL", "\t", "^")
        )
        text = text[:at] + mark + text[at + chance.choice((0, 1)) :]
    return text


def texts() -> list[str]:
    chance = random.Random(20261129)  # noqa: S311 - test data that comes out alike each time
    made = [f"{each}\n" for each in OTHERS]
    while len(made) < FILES:
        one = chance.choice((rule, simple))(chance) if chance.random() < 0.7 else chance.choice(OTHERS)
        made.append(mutated(chance, one) + chance.choice(("\n", "\n", "\n", "")))
    return made


def release_of_host() -> sudoers.Release:
    said = subprocess.run([str(VISUDO), "-V"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"(\d+)\.(\d+)\.(\d+)", said)
    assert found is not None
    return int(found[1]), int(found[2]), int(found[3])


@pytest.mark.skipif(VISUDO is None, reason="this host has no visudo")
def test_valid_and_invalid_as_visudo_says(tmp_path: Path) -> None:
    release = release_of_host()
    file = tmp_path / "sudoers"
    wrong: list[str] = []
    valid = 0
    for text in texts():
        if "nosuch" in text:
            continue
        file.write_bytes(text.encode())
        file.chmod(0o440)
        run = subprocess.run([str(VISUDO), "-cf", file], capture_output=True, text=True, check=False)
        said = run.stdout + run.stderr
        theirs = "parse" in said and run.returncode == 0
        ours = [line for line in sudoers.parse(text.encode(), release) if line.problem]
        if only_a_setting(said) or "No such file" in said:
            theirs = True  # sudo itself goes on
        valid += theirs
        if bool(ours) is theirs:
            wrong.append(
                f"{text!r}\n   visudo {run.returncode}: {said.strip()[:300]}\n"
                f"   ours: {[line.problem for line in ours]}"
            )
    print(f"sudoers: {FILES} files, {valid} of them valid, {len(wrong)} disagreements with visudo {release}")
    assert not wrong, "\n".join(wrong[:40])


def only_a_setting(said: str) -> bool:
    """True where visudo minds the name or value of a Defaults setting alone: sudo passes over it."""
    return "syntax error" not in said and (
        "no value specified for" in said
        or "unknown defaults entry" in said
        or "is invalid for option" in said
    )
