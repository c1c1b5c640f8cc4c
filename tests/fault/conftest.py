"""The disks that are killed over, and the questions that are asked afterwards."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from guestrepair.disk import Image, Transaction, examine, state_directory, undo
from guestrepair.disk.undo import NothingToUndoError
from tests.fault import victim

FORMATS = ("raw", "qcow2", "vmdk", "vdi", "vhdx", "vpc")
FLAVOURS = (
    "raw", "qcow2", "lazy", "chain", "raw-base", "compressed", "extended-l2", "metadata", "data-file",
    "data-file-raw",
)  # fmt: skip
"""The ways in which an image is written that differ in how its own tables are: raw, and those of qcow2."""

THOROUGH_RUNS = 100
"""From that many runs on nothing is left out."""


@dataclass(frozen=True, slots=True)
class Bench:
    """A disk before and after its repair, and a place to repair copies of it.

    ``originals`` are the files that the image is made of, the image itself first.
    """

    format: str
    originals: tuple[Path, ...]
    repaired_raw: Path
    home: Path
    image_home: Path | None = None
    state_home: Path | None = None
    flavour: str = ""

    @property
    def original(self) -> Path:
        """The disk before its repair."""
        return self.originals[0]

    @property
    def place(self) -> Path:
        """Where the image lies."""
        return self.image_home or self.home

    @property
    def image(self) -> Path:
        """The copy that is worked on."""
        return self.place / f"disk.{self.format}"

    @property
    def state(self) -> Path:
        """The state directory."""
        return (self.state_home or self.home) / "state"

    def fresh(self) -> None:
        """A new copy, and no records."""
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir()
        shutil.rmtree(self.state, ignore_errors=True)
        for file in self.originals:
            shutil.copyfile(file, self.place / file.name)
        if self.flavour.startswith("data-file"):
            # Unlike a backing file's, that name is taken from the working directory when it is relative.
            name = f"data_file={self.place / 'disk.data'}"
            subprocess.run(["qemu-img", "amend", "-f", "qcow2", "-o", name, self.image], check=True)
        state_directory(self.state)

    def keep(self) -> None:
        """Keep image and records as they are now, for :meth:`put_back`."""
        shutil.rmtree(self._kept, ignore_errors=True)
        shutil.copytree(self.state, self._kept / "state", symlinks=True)
        for file in self.originals:
            shutil.copy2(self.place / file.name, self._kept / file.name)

    def put_back(self) -> None:
        """Image and records as they were kept: to repair once more for each kill takes longer."""
        shutil.rmtree(self.state)
        shutil.copytree(self._kept / "state", self.state, symlinks=True)
        for file in self.originals:
            shutil.copy2(self._kept / file.name, self.place / file.name)

    @property
    def _kept(self) -> Path:
        return self.home.with_name("kept")

    def examine(self) -> Image:
        """The image as the commands see it."""
        return examine(self.image, input_format=self.format)

    def is_original(self) -> bool:
        """As a guest sees it, judged by qemu-img."""
        return self._same(self.original, self.format)

    def is_repaired(self) -> bool:
        """As a guest sees it, judged by qemu-img."""
        return self._same(self.repaired_raw, "raw")

    def is_untouched(self) -> bool:
        """The files, byte for byte."""
        return all((self.place / f.name).read_bytes() == f.read_bytes() for f in self.originals)

    def content(self) -> bytes:
        """All bytes that the guest sees."""
        return self._read(self.image)

    def original_content(self) -> bytes:
        """All bytes that the guest saw before."""
        return self._read(self.original)

    def _read(self, disk: Path) -> bytes:
        seen = self.place / "seen"
        command = ["qemu-img", "convert", "-f", self.format, "-O", "raw", str(disk), str(seen)]
        subprocess.run(command, check=True)
        return seen.read_bytes()

    def is_dirty(self) -> bool:
        """The dirty bit of a qcow2 with lazy refcounts (docs/interop/qcow2.txt)."""
        return bool(int.from_bytes(self.image.read_bytes()[72:80], "big") & 1)

    def _same(self, other: Path, other_format: str) -> bool:
        command = ["qemu-img", "compare", "-q", "-f", self.format, "-F", other_format]
        status = subprocess.run([*command, self.image, other], check=False).returncode
        assert status in (0, 1), f"qemu-img compare failed on {self.image}"
        return status == 0

    def check_container(self) -> None:
        """Nothing of the file is damaged, and a snapshot is still there."""
        if self.format != "qcow2":
            return
        done = subprocess.run(["qemu-img", "check", "-q", self.image], check=False)
        assert done.returncode in (0, 3), "more than leaked clusters"
        if self.flavour == "qcow2":
            listed = subprocess.run(
                ["qemu-img", "snapshot", "-l", self.image], check=True, capture_output=True
            )
            assert b"before" in listed.stdout

    def start(self, what: str, at: int | None = None, target: str = "self") -> BaseProcess:
        """A child that repairs or undoes; forked, so that most of its time is the work itself."""
        self.log.unlink(missing_ok=True)
        task = victim.Task(what, self.image, self.format, self.state, self.log, at, target)
        process = multiprocessing.get_context("fork").Process(target=victim.run_and_exit, args=(task,))
        process.start()
        return process

    def run(self, what: str, at: int | None = None, target: str = "self") -> int:
        """Run a child to its end; its exit status, negative for a signal."""
        process = self.start(what, at, target)
        process.join()
        assert process.exitcode is not None
        return process.exitcode

    def kill(self, what: str, at: int) -> None:
        """Run a child that is killed at a step."""
        assert self.run(what, at) == -signal.SIGKILL, f"step {at}: {self.log.read_text()}"

    def steps(self, what: str) -> int:
        """Run a child that is not killed; how many steps it had."""
        return len(self.step_names(what))

    def step_names(self, what: str) -> list[str]:
        """Run a child that is not killed; the steps it had."""
        expected = victim.INTERRUPTED if what == "revert" else 0
        assert self.run(what) == expected, self.log.read_text()
        return self.log.read_text().splitlines()

    @property
    def log(self) -> Path:
        """The steps that the last child reached, and its error."""
        return self.home / "log"

    def begin_again(self) -> list[str]:
        """What the next repair does first: lines that it says. Nothing is staged."""
        said: list[str] = []
        with Transaction.begin(self.examine(), self.state, say=said.append):
            pass
        return said

    def take_back(self) -> bool:
        """The next undo; False when it says that there is nothing to take back."""
        image = self.examine()
        with contextlib.suppress(NothingToUndoError):
            undo(image, self.state)
            return True
        return False


@pytest.fixture(scope="session")
def fault_runs() -> int:
    """How many random kills: a few by default, more with GUESTREPAIR_FAULT_RUNS (make test-faults)."""
    return int(os.environ.get("GUESTREPAIR_FAULT_RUNS", "20"))


@pytest.fixture(scope="session", params=FORMATS)
def any_bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A bench for each format."""
    return make_bench(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="session", params=("raw", "qcow2"))
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A bench for raw and one for qcow2 (with an internal snapshot)."""
    return make_bench(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="session", params=FLAVOURS)
def flavour(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A bench for each way in which an image is written."""
    return make_bench(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture
def raw_bench(tmp_path: Path) -> Bench:
    """A bench of this test's own, raw."""
    return make_bench("raw", tmp_path)


_OPTIONS = {
    "lazy": ["-o", "lazy_refcounts=on"],
    "extended-l2": ["-o", "extended_l2=on"],
    "metadata": ["-o", "preallocation=metadata"],
    "data-file": ["-o", "data_file={home}/disk.data"],
    "data-file-raw": ["-o", "data_file={home}/disk.data,data_file_raw=on"],
    "chain": ["-b", "base.qcow2", "-F", "qcow2"],
    "raw-base": ["-b", "base.raw", "-F", "raw"],
}
_CONTENT = ("write -P 1 0 7M", "write -P 2 12M 64k")
SIZE = "16M"


def qemu_io(disk: Path, format_name: str, commands: Sequence[str]) -> None:
    """Write to a disk as a machine would."""
    arguments = [part for text in commands for part in ("-c", text)]
    command = ["qemu-io", "-f", format_name, *arguments, str(disk)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def make_bench(flavour: str, home: Path) -> Bench:
    """16 MiB with data, zeros and holes; plain qcow2 with a snapshot that shares clusters."""
    format_name = flavour if flavour in FORMATS else "qcow2"
    where = home / "original"
    where.mkdir()
    original = where / f"disk.{format_name}"
    _make(original, flavour, format_name)
    repaired = home / "repaired.raw"
    subprocess.run(["qemu-img", "convert", "-f", format_name, "-O", "raw", original, repaired], check=True)
    qemu_io(repaired, "raw", victim.CHANGES)
    others = sorted(f for f in where.iterdir() if f != original)
    return Bench(format_name, (original, *others), repaired, home / "work", flavour=flavour)


def _make(original: Path, flavour: str, format_name: str) -> None:
    def create(path: Path, name: str, *options: str) -> None:
        # A base's name in the header is relative, so that copies of all the files go together.
        spelled = [option.format(home=path.parent) for option in options]
        command = ["qemu-img", "create", "-q", "-f", name, *spelled, path.name, SIZE]
        subprocess.run(command, check=True, cwd=path.parent)

    for base in ("raw", "qcow2"):
        if f"base.{base}" in _OPTIONS.get(flavour, ()):
            create(original.with_name(f"base.{base}"), base)
            qemu_io(original.with_name(f"base.{base}"), base, _CONTENT)
    create(original, format_name, *_OPTIONS.get(flavour, ()))
    over_base = "-b" in _OPTIONS.get(flavour, ())
    # Reference counts change, and the dirty bit is set, where the repair writes into holes.
    content = ("write -P 4 8M 64k",) if over_base else _CONTENT[1:] if flavour == "lazy" else _CONTENT
    qemu_io(original, format_name, content)
    if flavour == "qcow2":
        subprocess.run(["qemu-img", "snapshot", "-c", "before", original], check=True)
    if flavour == "compressed":
        plain = original.with_name("plain")
        original.rename(plain)
        packed = ["qemu-img", "convert", "-c", "-f", "qcow2", "-O", "qcow2", str(plain), str(original)]
        subprocess.run(packed, check=True)
        plain.unlink()
