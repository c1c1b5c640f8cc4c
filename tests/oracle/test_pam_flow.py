"""What a PAM stack comes to: our walk against libpam's, on stacks of modules that answer as told."""

from __future__ import annotations

import ctypes
import ctypes.util
import itertools
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from guestrepair.formats.pam_control import RETURNS
from guestrepair.guest.memory import MemoryGuest
from guestrepair.system import pam_flow
from guestrepair.system.pam import Pam, PamStep

STACKS = 400
SEED = 20261129
CALLS = {"auth": "pam_authenticate", "account": "pam_acct_mgmt", "session": "pam_open_session"}
ARGUMENTS = {"auth": "auth", "account": "acct", "session": "open_session"}
FAILURES = {"auth": "auth_err", "account": "auth_err", "session": "session_err"}
ANSWERS = ("success", "success", "ignore", "auth_err", "user_unknown", "new_authtok_reqd", "perm_denied")


TRIED = ("success", "ignore", "auth_err", "user_unknown", "new_authtok_reqd")


class Conversation(ctypes.Structure):
    _fields_ = (("conv", ctypes.CFUNCTYPE(ctypes.c_int)), ("data", ctypes.c_void_p))


def library() -> ctypes.CDLL:
    name = ctypes.util.find_library("pam")
    if name is None:
        pytest.skip("this host has no libpam")
    found = ctypes.CDLL(name)
    if not hasattr(found, "pam_start_confdir"):
        pytest.skip("this host's libpam has no pam_start_confdir()")
    places = (Path("/lib").glob("*/security/pam_debug.so"), Path("/usr/lib64/security").glob("pam_debug.so"))
    if not any(itertools.chain(*places)):
        pytest.skip("this host has no pam_debug.so")
    return found


def libpam_says(pam: ctypes.CDLL, folder: Path, kind: str) -> bool:
    """True when libpam lets the user in."""
    handle = ctypes.c_void_p()
    conversation = Conversation(ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 19), None)
    started = pam.pam_start_confdir(
        b"sshd", b"nobody", ctypes.byref(conversation), str(folder).encode(), ctypes.byref(handle)
    )
    if started:
        return False
    try:
        return int(getattr(pam, CALLS[kind])(handle, 0)) == 0
    finally:
        pam.pam_end(handle, 0)


def control(chance: random.Random) -> str:
    if chance.random() < 0.5:
        return chance.choice(("required", "requisite", "sufficient", "optional", "Required", "requird"))
    pairs = [f"{chance.choice(ANSWERS)}={action(chance)}" for _ in range(chance.randint(0, 3))]
    if chance.random() < 0.8:
        pairs.append(f"default={action(chance)}")
    if chance.random() < 0.04:
        pairs.append(chance.choice(("success=0", "succes=ok", "success", "success=okay", "Success=ok")))
    chance.shuffle(pairs)
    return f"[{' '.join(pairs)}]"


def action(chance: random.Random) -> str:
    return chance.choice(("ignore", "ok", "done", "bad", "die", "reset", "1", "1", "2", "3", "5"))


def module(chance: random.Random, kind: str, free: Iterator[int]) -> str:
    what = chance.random()
    if what < 0.2:
        return "pam_permit.so"
    if what < 0.35:
        return "pam_deny.so"
    return f"pam_debug.so @{next(free)}@"


def lines(chance: random.Random, kind: str, free: Iterator[int], files: list[str], depth: int) -> str:
    made = []
    for _ in range(chance.randint(1, 5)):
        kind_of_line = kind if chance.random() < 0.95 else chance.choice(("auht", "password", f"-{kind}"))
        if depth < 3 and chance.random() < 0.2:
            files.append("")
            mine = len(files) - 1
            how = chance.choice((f"{kind} include", f"{kind} substack", f"{kind} substack", "@include"))
            made.append(f"{how} part{mine}")
            files[mine] = lines(chance, kind, free, files, depth + 1)
        else:
            made.append(f"{kind_of_line} {control(chance)} {module(chance, kind, free)}")
    return "".join(f"{line}\n" for line in made)


def write(folder: Path, files: list[str], kind: str, answers: list[str]) -> dict[str, str]:
    """The service's files with the answers put in, on this host; their text is given back."""
    made = {}
    for number, text in enumerate(files):
        for index, answer in enumerate(answers):
            text = text.replace(f"@{index}@", f"{ARGUMENTS[kind]}={answer}")  # noqa: PLW2901
        name = "sshd" if not number else f"part{number}"
        made[name] = text
        # libpam looks for an include that is named without its directory in /etc/pam.d alone.
        (folder / name).write_text(text.replace(" part", f" {folder}/part"))
    (folder / "other").write_text("".join(f"{each} required pam_deny.so\n" for each in CALLS))
    return made


def our_steps(files: dict[str, str], kind: str) -> list[PamStep]:
    guest = MemoryGuest()
    for name, text in files.items():
        guest.file(f"/etc/pam.d/{name}", text)
    guest.file("/etc/pam.d/other", f"{kind} required pam_deny.so\n")
    return Pam(guest).steps("sshd", kind)


def told(step: PamStep) -> frozenset[str]:
    """What pam_debug was told to answer, and pam_permit and pam_deny always do."""
    name = pam_flow.base_name(step)
    if step.module is not None and name == "pam_debug":
        return frozenset({step.module.arguments[0].partition("=")[2]})
    if name == "pam_permit":
        return pam_flow.SUCCESS
    return frozenset({FAILURES[step.type] if name == "pam_deny" else "perm_denied"})


def stacks(kind: str) -> Iterator[tuple[list[str], int]]:
    chance = random.Random(f"{SEED}{kind}")  # noqa: S311 - test data that comes out alike each time
    for _ in range(STACKS):
        counter = itertools.count()
        files = [""]
        files[0] = lines(chance, kind, counter, files, 0)
        yield files, next(counter)


@pytest.mark.parametrize("kind", CALLS)
def test_one_walk_ends_as_libpam_ends(kind: str, tmp_path: Path) -> None:
    pam = library()
    chance = random.Random(SEED)  # noqa: S311
    good = 0
    for files, free in stacks(kind):
        answers = [chance.choice(ANSWERS) for _ in range(free)]
        written = write(tmp_path, files, kind, answers)
        outcome = pam_flow.walk(pam_flow.handlers(our_steps(written, kind), told))
        theirs = libpam_says(pam, tmp_path, kind)
        good += theirs
        assert outcome.always_succeeds is theirs, "\n".join(f"# {n}\n{t}" for n, t in written.items())
    print(f"{kind}: {STACKS} stacks, {good} of them let in, no disagreement with libpam")
    assert STACKS // 20 < good < STACKS


def any_of_these(step: PamStep) -> frozenset[str]:
    return frozenset(TRIED) if pam_flow.base_name(step) == "pam_debug" else told(step)


@pytest.mark.parametrize("kind", ["auth"])
def test_whether_any_answers_let_in_is_what_trying_them_all_says(kind: str, tmp_path: Path) -> None:
    pam = library()
    tried = open_ = judged = 0
    for files, free in stacks(kind):
        if not 0 < free <= 3:
            continue
        theirs = False
        for combination in itertools.product(TRIED, repeat=free):
            written = write(tmp_path, files, kind, list(combination))
            tried += 1
            if libpam_says(pam, tmp_path, kind):
                theirs = True
                break
        steps = our_steps(written, kind)
        judged += 1
        open_ += theirs
        outcome = pam_flow.walk(pam_flow.handlers(steps, any_of_these))
        assert outcome.can_succeed is theirs, "\n".join(files)
    print(
        f"any answers: {judged} stacks, {open_} of them can let in, {tried} runs of libpam, no disagreement"
    )
    assert 0 < open_ < judged


def test_every_name_of_a_return_value_is_libpams() -> None:
    assert len(RETURNS) == 32
