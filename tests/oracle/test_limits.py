"""What limits.conf sets for a user: our reading against pam_limits, in a process of its own each time."""

from __future__ import annotations

import json
import os
import random
import resource
from pathlib import Path

import pytest

from guestrepair.formats.limits import Person, parse_limits
from guestrepair.model import GuestPath
from guestrepair.system.limits import LimitsFile, in_force
from tests.oracle.test_pam_flow import libpam_says, library

FILES = 400
BASE = "* hard nofile 4500\n"
"""Below what this process has: who may not raise limits cannot set the others at all."""

NOBODY = Person("nobody", 65534, 65534, frozenset({"nogroup"}), frozenset({65534}))
DOMAINS = (
    *("*", "*", "nobody", "root", "@nogroup", "@users", "%", "%nogroup", ":65534", "1000:", "@:65534"),
    *("9:8", "@1:70000", "1000:x", "@1:", "0:70000", "%:65534"),
)


def text(chance: random.Random) -> str:
    made = [BASE]
    for _ in range(chance.randint(1, 5)):
        kind = chance.choice(("hard", "-", "HARD", "soft", "both"))
        item = chance.choice(("nofile", "nofile", "nofile", "maxlogins", "core", "NOFILE", "nosuch"))
        number = str(chance.randint(500, 4000))
        value = chance.choice((number, number, f"0{number}", f"{number}x", f"+{number}", "x"))
        if item == "maxlogins":
            value = chance.choice(("0", "1000", "-1"))
        end = chance.choice(("", " ", " # c"))
        made.append(f"{chance.choice(DOMAINS)}\t{kind} {item}  {value}{end}\n")
    if chance.random() < 0.15:
        freed = chance.choice(("nobody -\n", "@nogroup -\n", "root -\n", "* -\n"))
        made.insert(chance.randint(0, len(made)), freed)
    if chance.random() < 0.2:
        made.append("# a comment\n\n  \nnobody hard nofile\n")
    return "".join(made)


def theirs(folder: Path) -> tuple[bool, int, int]:
    """Whether the session is let in, and its limits then: in a child, for limits do not come back."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            let_in = libpam_says(library(), folder, "session")
            os.write(writer, json.dumps([let_in, *resource.getrlimit(resource.RLIMIT_NOFILE)]).encode())
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        let_in, soft, hard = json.loads(answer.read())
    return bool(let_in), int(soft), int(hard)


def ours(data: bytes, unset: tuple[int, int]) -> tuple[bool, int, int]:
    file = LimitsFile(GuestPath("/etc/security/limits.conf"), data, parse_limits(data))
    found = in_force((file,), NOBODY, default_is_for_root=True)
    if not found:  # freed of all: what this process has stays
        return True, *resource.getrlimit(resource.RLIMIT_NOFILE)
    limits = []
    for kind, usual in zip(("soft", "hard"), unset, strict=True):
        limit = found.get(("nofile", kind))
        limits.append(usual if limit is None or limit.line.value is None else limit.line.value)
    logins = (found.get(("maxlogins", kind)) for kind in ("soft", "hard"))
    let_in = not any(each is not None and each.line.value == 0 for each in logins)
    return let_in, min(limits), limits[1]


@pytest.mark.skipif(os.geteuid() != 0, reason="pam_limits is for root's processes")
def test_what_pam_limits_sets(tmp_path: Path) -> None:
    library()
    chance = random.Random(7)  # noqa: S311 - test data that comes out alike each time
    conf = tmp_path / "limits.conf"
    (tmp_path / "other").write_text("session required pam_deny.so\n")
    (tmp_path / "sshd").write_text(f"session required pam_limits.so conf={conf}\n")
    conf.write_text(BASE)
    _, soft, hard = theirs(tmp_path)
    out = changed = 0
    for _ in range(FILES):
        content = text(chance)
        conf.write_text(content)
        answer = theirs(tmp_path)
        out += not answer[0]
        changed += answer[1:] != (soft, hard)
        assert ours(content.encode(), (soft, hard)) == answer, content
    print(f"limits.conf: {FILES} files, {changed} set limits, {out} shut the user out; pam_limits agrees")
    assert 10 < out < FILES - 20
    assert changed > FILES // 4
