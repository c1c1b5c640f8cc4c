"""What a power cut can take: names and data that no fsync has brought to stable storage.

strace records what a repair, an undo and a revert ask of the kernel. From that it is worked out,
as POSIX allows it to be lost, what is stable at each moment: data of a file since its last
fsync, a name since the last fsync of its directory.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.fault import victim
from tests.fault.conftest import Bench

pytestmark = [
    pytest.mark.fault,
    pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed"),
]

_CALLS = (
    "open,openat,creat,write,pwrite64,pwritev,pwritev2,writev,fsync,fdatasync,rename,renameat,renameat2,"
    "unlink,unlinkat,mkdir,mkdirat,ftruncate,fallocate"
)
_LINE = re.compile(r"\d+ +(?P<name>\w+)\((?P<arguments>.*)\) += (?P<answer>-?\d+)(?P<path><[^>]*>)?")
_UNFINISHED = re.compile(r"(?P<pid>\d+) +(?P<rest>.*) <unfinished \.\.\.>")
_RESUMED = re.compile(r"(?P<pid>\d+) +<\.\.\. \w+ resumed>(?P<rest>.*)")
_FD = re.compile(r"^(?:\d+|AT_FDCWD)<(?P<path>[^>]*)>")
_NAME = re.compile(r'"(?P<path>[^"]*)"')


@dataclass(slots=True)
class Storage:
    """What a power cut would take now."""

    dirty: set[str] = field(default_factory=set)
    unnamed: set[str] = field(default_factory=set)
    phase: str = ""
    told: list[str] = field(default_factory=list)

    def lost(self, under: Path) -> set[str]:
        """Files of a directory whose data or name is not stable."""
        return {p for p in self.dirty | self.unnamed if p.startswith(str(under))}

    def take(self, name: str, paths: list[str], flags: str) -> None:
        """One call that the kernel has done."""
        path = paths[0]
        if name.startswith(("open", "creat")):
            if "O_CREAT" in flags and path not in self.unnamed:
                self.unnamed.add(path)
        elif name.startswith("mkdir"):
            self.unnamed.add(path)
        elif name in ("fsync", "fdatasync"):
            self.dirty.discard(path)
            self.unnamed = {p for p in self.unnamed if str(Path(p).parent) != path}
        elif name.startswith("rename"):
            assert path not in self.dirty, f"{path} gets its name before its data is stable"
            self.unnamed.discard(path)
            self.unnamed.add(paths[1])
        elif name.startswith("unlink"):
            self.dirty.discard(path)
            self.unnamed.discard(path)
        else:
            self.dirty.add(path)


def calls(trace: str) -> list[tuple[str, list[str], str]]:
    """Name, paths and flags of each call that succeeded, in the order in which they were done."""
    begun: dict[str, str] = {}
    found = []
    for line in trace.splitlines():
        whole = line
        if unfinished := _UNFINISHED.match(line):
            begun[unfinished["pid"]] = unfinished["rest"]
            continue
        if resumed := _RESUMED.match(line):
            whole = f"{resumed['pid']} {begun.pop(resumed['pid'], '')}{resumed['rest']}"
        if (match := _LINE.match(whole)) and int(match["answer"]) >= 0:
            found.append((match["name"], paths_of(match), match["arguments"]))
    return found


def paths_of(match: re.Match[str]) -> list[str]:
    """The paths that a call is about: of what it opened, of its descriptor, or as it names them."""
    arguments = match["arguments"]
    if match["name"].startswith(("open", "creat")):
        return [(match["path"] or "<>")[1:-1]]
    named = [n["path"] for n in _NAME.finditer(arguments)]
    if match["name"].startswith(("rename", "unlink", "mkdir")):
        homes = [f["path"] for f in re.finditer(r"(?:\d+|AT_FDCWD)<(?P<path>[^>]*)>", arguments)] or [""]
        homes *= len(named)
        return [n if n.startswith("/") else f"{home}/{n}" for n, home in zip(named, homes, strict=False)]
    descriptor = _FD.match(arguments)
    return [descriptor["path"] if descriptor else ""]


def traced(bench: Bench, what: str) -> list[tuple[str, list[str], str]]:
    """Do it under strace, with all its children."""
    task = (what, str(bench.image), bench.format, str(bench.state), str(bench.log))
    script = (
        "import sys; from pathlib import Path; from tests.fault import victim; a = sys.argv[1:]; "
        "victim.run_and_exit(victim.Task(a[0], Path(a[1]), a[2], Path(a[3]), Path(a[4])))"
    )
    out = bench.home / "trace"
    command = ["strace", "-f", "-y", "-s", "400", "-o", str(out), "-e", f"trace={_CALLS}"]
    done = subprocess.run([*command, sys.executable, "-c", script, *task], check=False, capture_output=True)
    if b"PTRACE" in done.stderr or b"ptrace" in done.stderr:
        pytest.skip("no process may be traced here")
    assert done.returncode == (victim.INTERRUPTED if what == "revert" else 0), done.stderr.decode()
    return calls(out.read_text())


PHASE = re.compile(r'\\"phase\\": \\"(\w+)\\"')


def replay(bench: Bench, what: str) -> list[str]:
    """Look at each moment of the work; the phases that were stored, in order."""
    storage = Storage()
    phases: list[str] = []
    pending: dict[str, str] = {}
    image = str(bench.image)
    for name, paths, arguments in traced(bench, what):
        path = paths[0]
        writes = "write" in name or name in ("fallocate", "ftruncate")
        if writes and path == image:
            lost = storage.lost(bench.state)
            assert not lost, f"{what}: the image is written to while a power cut would take {lost}"
            assert phases[-1] in ("committing", "reverting", "undoing")
        if writes and (phase := PHASE.search(arguments)):
            pending[path] = phase[1]
        if name.startswith("rename") and path in pending:
            settled = pending[path] in ("committed", "reverted", "undone")
            assert not (settled and image in storage.dirty), f"{what}: settled before the image is stable"
            phases.append(pending.pop(path))
        if name.startswith("unlink") and Path(path).name in ("overlay.qcow2", "undo.data"):
            lost = {p for p in storage.lost(bench.state) if p.endswith("manifest.json")}
            assert not lost, f"{what}: {path} goes before the phase that does not need it is stable"
            assert phases[-1] != "committing"
        storage.take(name, paths, arguments)
    return phases


def test_nothing_is_written_before_what_it_depends_on_is_stable(bench: Bench) -> None:
    bench.fresh()
    shutil.rmtree(bench.state)
    bench.state.mkdir()
    assert replay(bench, "repair") == ["staged", "prepared", "committing", "committed"]
    assert bench.is_repaired()
    assert replay(bench, "undo") == ["undoing", "undone"]
    assert bench.is_original()


def test_nor_when_a_repair_takes_itself_back(bench: Bench) -> None:
    bench.fresh()
    assert replay(bench, "revert") == ["staged", "prepared", "committing", "reverting", "reverted"]
    assert bench.is_original()
