"""Every session in the documentation, run as it stands: it prints what the page says.

What differs from run to run is normalized by the patterns of ``VARYING`` alone. A line of the page that is
only ``…`` stands for any lines, and ``…`` within a line for any words of it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

import fixtures
from fixtures.faults.boot_chain import CHAIN_FAULTS, chain_damaged
from fixtures.recipes import copy_of
from tests.support.docs import PAGES, Step, blocks, named, starting_files
from tests.support.program import PROGRAM

pytestmark = pytest.mark.image
SESSIONS = [page for page in PAGES if any(block.is_session for block in blocks(page))]
FIRST = ("README.md", "tutorials", "emergency-mode.md", "rows-of-failed.md", "connection-closed.md")
"""What people read first, and the three cases that the project began with: the others are long tests."""
VARYING = (
    (r"\b\d{4}-\d\d-\d\d(?!\d)T?", "DATE "),
    (r"(?<![\d:])\d\d:\d\d:\d\d(?:\.\d+)?(?:\+00:00|Z)?(?![:\w])", "TIME"),
    (r"\b\d{8}T\d{6}Z", "STAMP"),
    (r"\b[0-9a-f]{64}\b|\b[0-9a-f]{16}…", "DIGEST"),
    (r"\b\d+(?:\.\d+)? (?:KiB|MiB|GiB|bytes)\b", "SIZE"),
    (r"\b\d+ (?:events|ranges)\b", "NUMBER"),
    (r"\(inode \d+\)", "(inode N)"),
    (r"\b6\.1\.0-\d+-cloud-amd64", "KERNEL"),
    (r"\+deb12u\d+", "+deb12uN"),
    (r"-{3,}", "---"),
    (r"\s+", " "),
)
"""Times, digests, sizes and counts; versions that a point release of Debian brings; widths of columns."""


def normalized(line: str) -> str:
    """The line without what varies."""
    for pattern, word in VARYING:
        line = re.sub(pattern, word, line)
    return line.strip()


def same(expected: str, line: str) -> bool:
    """Whether the line is what the page says, ``…`` standing for any words."""
    first, *others = (normalized(piece) for piece in expected.split("…"))
    line = normalized(line)
    if not others:
        return first == line
    if not line.startswith(first):
        return False
    at = len(first)
    for piece in others[:-1]:
        at = line.find(piece, at)
        if at < 0:
            return False
        at += len(piece)
    return line.endswith(others[-1]) and len(line) - len(others[-1]) >= at


def difference(expected: Sequence[str], printed: Sequence[str]) -> str | None:
    """None where the page tells what is printed; else the first lines of the page that are not there."""
    runs: list[list[str]] = [[]]
    for line in expected:
        if line.strip() == "…":
            runs.append([])
        else:
            runs[-1].append(line)
    at = 0
    for number, run in enumerate(runs):
        is_last = number == len(runs) - 1
        first = len(printed) - len(run) if is_last and number else at
        last = first if number == 0 or is_last else len(printed) - len(run)
        found = next(
            (n for n in range(max(first, at), last + 1) if matches(run, printed[n : n + len(run)])), None
        )
        if found is None or (is_last and found + len(run) != len(printed)):
            return "\n".join(run)
        at = found + len(run)
    return None


def matches(expected: Sequence[str], printed: Sequence[str]) -> bool:
    """Whether these lines are those."""
    return len(expected) == len(printed) and all(map(same, expected, printed))


class Place:
    """Where the sessions of pages with the same files run; what was run already is not run again.

    A command's outcome is kept by all that was run before it, so that pages that begin alike share it.
    """

    def __init__(self, folder: Path, files: dict[str, tuple[str, ...]]) -> None:
        self._folder, self._files = folder, files
        self._state = folder.with_name("state")
        self._made: dict[str, Path] = {}
        self._seen: dict[tuple[str, ...], tuple[int, list[str]]] = {}
        self._standing: tuple[str, ...] | None = None

    def outcome(self, before: tuple[str, ...], command: str) -> tuple[int, list[str]]:
        """Status and lines of a command after these others."""
        key = (*changing(before), command)
        if key not in self._seen:
            self._stand_at(changing(before))
            status = self._seen[(*changing(before[:-1]), before[-1])][0] if before else 0
            self._seen[key] = self._run(command, status)
            self._standing = (*(self._standing or ()), *changing((command,)))
        return self._seen[key]

    def _stand_at(self, commands: tuple[str, ...]) -> None:
        """Have the files as they are after these commands."""
        there = self._standing
        kept = None if there is None else [c for c in there if c in commands or not adds(c)]
        if there is None or kept != list(commands[: len(kept or ())]):
            for folder in (self._folder, self._state):
                shutil.rmtree(folder, ignore_errors=True)
            self._folder.mkdir(parents=True)
            for name, recipe in self._files.items():
                if name not in self._made:
                    self._made[name] = made(self._folder.with_name(name), recipe)
                shutil.copyfile(self._made[name], self._folder / name)
            there = ()
        missing = tuple(c for c in commands if c not in there)
        for command in missing:
            self._run(command, 0)
        self._standing = (*there, *missing)

    def _run(self, command: str, before: int) -> tuple[int, list[str]]:
        done = subprocess.run(
            ["bash", "-c", f"(exit {before})\n{command}"],
            cwd=self._folder,
            env={
                **os.environ,
                "COLUMNS": "100",  # as in a pipe; xdist sets its own
                "PATH": f"{PROGRAM.parent}:{os.environ['PATH']}",
                "XDG_STATE_HOME": str(self._state),
                "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache")),
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        errors = [line for line in done.stderr.splitlines() if line.startswith("guestrepair: ")]
        return done.returncode, done.stdout.splitlines() + (errors if done.returncode in {2, 3, 4} else [])


def changing(commands: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the commands after which the files are others."""
    words = (
        "repair --yes",
        "undo",
        "put ",
        "edit ",
        ">",
        " -o ",
        "--write-baseline",
        "cp ",
        "sed -i",
        "tar -x",
    )
    return tuple(c for c in commands if any(word in c for word in words))


def adds(command: str) -> bool:
    """Whether it only adds files that no other command reads."""
    return " -o " in command or "tar -x" in command


def made(path: Path, recipe: tuple[str, ...]) -> Path:
    """A file that a page starts from, at ``path`` or in the cache: ``text:WORDS`` or an image."""
    base, *faults = recipe
    if base.startswith("text:"):
        path.write_text(base.removeprefix("text:").replace("_", " ") + "\n")
    elif set(faults) & set(CHAIN_FAULTS):
        chain_damaged(faults, path)
    elif faults:
        fixtures.damaged(base, faults, out=path)
    elif fixtures.build(base).suffix == path.suffix:
        return fixtures.build(base)
    else:
        copy_of(base, path)
    return path


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Place]:
    return {}


def marked(page: Path) -> object:
    return pytest.param(page, marks=() if {page.name, page.parent.name} & set(FIRST) else (pytest.mark.long,))


@pytest.mark.parametrize("page", [marked(page) for page in SESSIONS], ids=named)
def test_the_page_tells_what_is_printed(
    page: Path, places: dict[str, Place], tmp_path_factory: pytest.TempPathFactory
) -> None:
    files = starting_files(page)
    assert files is not None
    key = repr(files)
    if key not in places:
        places[key] = Place(tmp_path_factory.mktemp("sessions") / "here", files)
    before: tuple[str, ...] = ()
    for step in (s for block in blocks(page) if block.is_session for s in block.steps()):
        told(page, step, places[key].outcome(before, step.command))
        before = (*before, step.command)


def told(page: Path, step: Step, outcome: tuple[int, list[str]]) -> None:
    """The page tells what the command prints, and the command is no wrong usage."""
    status, lines = outcome
    seen = "\n".join(lines)
    wrong = difference(trimmed(step.printed), trimmed(lines))
    assert wrong is None, (
        f"{named(page)}:{step.line}: $ {step.command}\nnot printed:\n{wrong}\n\nprinted:\n{seen}"
    )
    assert status != 2 or "Usage" in seen, f"{named(page)}:{step.line}: {step.command}: exit status 2"


def trimmed(lines: Sequence[str]) -> list[str]:
    """The lines without empty ones at the end."""
    kept = list(lines)
    while kept and not kept[-1].strip():
        kept.pop()
    return kept


def test_what_is_printed_otherwise_is_seen() -> None:
    printed = ["a 1", "b", "c", "", "Result: 2 errors"]
    assert difference(printed, printed) is None
    assert difference(["a 1", "…", "Result: 2 errors"], printed) is None
    assert difference(["a …", "b", "…"], printed) is None
    assert difference(["a 1", "…", "Result: 3 errors"], printed) == "Result: 3 errors"
    assert difference(["a 1", "c", "…"], printed) == "a 1\nc"
    assert difference(["…", "b", "…", "b", "…"], printed) == "b"
    assert difference(["a 1"], printed) == "a 1"
    assert same("changed: /etc/fstab 2026-11-30 20:23:43 UTC", "changed: /etc/fstab 2027-01-01 00:00:00 UTC")
    assert same("21:37:13 UTC (/var/log/auth.log:3)", "07:00:00 UTC (/var/log/auth.log:3)")
    assert not same("mode 0666", "mode 0600")
    assert not same("MAC 52:54:00:0a:0b:0c", "MAC 52:54:11:0a:0b:0c")
