"""The disks that are killed over, and the questions that are asked afterwards."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import subprocess
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from guestrepair.disk import Image, Transaction, examine, state_directory, undo
from guestrepair.disk.undo import NothingToUndoError
from tests.fault import victim

FORMATS = ("raw", "qcow2", "vmdk", "vdi", "vhdx", "vpc")


@dataclass(frozen=True, slots=True)
class Bench:
    """A disk before and after its repair, and a place to repair copies of it."""

    format: str
    original: Path
    repaired_raw: Path
    home: Path
    image_home: Path | None = None
    state_home: Path | None = None

    @property
    def image(self) -> Path:
        """The copy that is worked on."""
        return (self.image_home or self.home) / f"disk.{self.format}"

    @property
    def state(self) -> Path:
        """The state directory."""
        return (self.state_home or self.home) / "state"

    def fresh(self) -> None:
        """A new copy, and no records."""
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir()
        shutil.rmtree(self.state, ignore_errors=True)
        shutil.copyfile(self.original, self.image)
        state_directory(self.state)

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
        """The file, byte for byte."""
        return self.image.read_bytes() == self.original.read_bytes()

    def _same(self, other: Path, other_format: str) -> bool:
        command = ["qemu-img", "compare", "-q", "-f", self.format, "-F", other_format]
        status = subprocess.run([*command, self.image, other], check=False).returncode
        assert status in (0, 1), f"qemu-img compare failed on {self.image}"
        return status == 0

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

    def steps(self, what: str) -> int:
        """Run a child that is not killed; how many steps it had."""
        assert self.run(what) == 0, self.log.read_text()
        return len(self.log.read_text().splitlines())

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
    return int(os.environ.get("GUESTREPAIR_FAULT_RUNS", "12"))


@pytest.fixture(scope="session", params=FORMATS)
def any_bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A bench for each format."""
    return make_bench(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="session", params=("raw", "qcow2"))
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A bench for raw and one for qcow2 (with an internal snapshot)."""
    return make_bench(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture
def raw_bench(tmp_path: Path) -> Bench:
    """A bench of this test's own, raw."""
    return make_bench("raw", tmp_path)


def make_bench(format_name: str, home: Path) -> Bench:
    """16 MiB with data, zeros and holes; qcow2 with a snapshot that shares clusters."""
    original = home / f"original.{format_name}"
    subprocess.run(["qemu-img", "create", "-q", "-f", format_name, original, "16M"], check=True)
    io = ["qemu-io", "-f", format_name, "-c", "write -P 1 0 7M", "-c", "write -P 2 12M 64k", str(original)]
    subprocess.run(io, check=True, stdout=subprocess.DEVNULL)
    if format_name == "qcow2":
        subprocess.run(["qemu-img", "snapshot", "-c", "before", original], check=True)
    repaired = home / "repaired.raw"
    subprocess.run(["qemu-img", "convert", "-f", format_name, "-O", "raw", original, repaired], check=True)
    commands = [part for text in victim.CHANGES for part in ("-c", text)]
    subprocess.run(["qemu-io", "-f", "raw", *commands, repaired], check=True, stdout=subprocess.DEVNULL)
    return Bench(format_name, original, repaired, home / "work")
