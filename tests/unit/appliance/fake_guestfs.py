"""libguestfs's bindings without a launch: what was set on a handle, and what a test says of the launch."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import guestfs
import pytest

from guestrepair.appliance import fast_build
from guestrepair.appliance.acceleration import Acceleration, acceleration
from guestrepair.appliance.launch import Drive, LaunchOptions, launched
from guestrepair.appliance.saved_machine import SavedMachine

QEMU = f"qemu-system-{os.uname().machine}"


class GuestFS:
    """One handle. libguestfs's setters put down their value in ``set`` under the name of what they set."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.set: dict[str, Any] = {"path": str(host.stock), "hv": QEMU}
        self.drives: list[tuple[str, dict[str, Any]]] = []
        self.counts: list[Callable[..., None]] = []
        self.closed = False
        self.told: dict[str, Any] = {}
        """What the launched program is told by ``confine``: its cage, and what it resumes or records."""
        self._real = guestfs.GuestFS(python_return_dict=True)
        self._o = self._real._o  # what the C library itself is called with

    def __getattr__(self, name: str) -> Any:
        if name.startswith("set_"):
            return lambda *value: self.set.__setitem__(name[4:], value[0] if len(value) == 1 else value)
        if name.startswith("get_"):
            return lambda: self.set[name[4:]]
        raise AttributeError(name)

    def get_cachedir(self) -> str:
        return "/var/tmp"  # noqa: S108 - only named

    def version(self) -> Mapping[str, Any]:
        return {"major": 1, "minor": 50, "release": 1, "extra": ""}

    def add_drive_opts(self, file: str, **how: Any) -> None:
        self.drives.append((file, how))

    def set_event_callback(self, callback: Callable[..., None], _events: int) -> int:
        self.counts.append(callback)
        return 0

    @property
    def under_kvm(self) -> bool:
        return self.set.get("backend_setting") != ("force_tcg", "1")

    @property
    def kind(self) -> str:
        """What was launched, and how: ``stock``, ``fast``, ``resumed``, ``recorded``; ``kvm`` ahead."""
        kind = "stock" if self.set["path"] == str(self.host.stock) else "fast"
        kind = "resumed" if self.told.get("variant") else "recorded" if self.told.get("record") else kind
        return f"kvm {kind}" if self.under_kvm else kind

    def launch(self) -> None:
        cage = Path(self.set["hv"]).with_name("cage.json")
        self.told = json.loads(cage.read_text()) if cage.exists() else {}
        self.host.launches.append(self.kind)
        if reason := self.host.launch(self):
            raise RuntimeError(f"libguestfs error: {reason}")

    def close(self) -> None:
        self.closed = True


@dataclass
class Host:
    """A host: its libguestfs, its qemu, and its cache."""

    stock: Path
    qemu: Path
    cache: Path
    launch: Callable[[GuestFS], str] = lambda _handle: ""
    """Why a launch fails; "" where it does not."""
    handles: list[GuestFS] = field(default_factory=list)
    launches: list[str] = field(default_factory=list)

    def fast(self, *marks: str) -> Path:
        """A fast appliance in the cache, with these marks on it."""
        key = fast_build._key(self.stock / "supermin.d", "1.50.1.")
        directory = self.cache / f"appliance-{key}"
        directory.mkdir(mode=0o700, parents=True)
        for name in ("kernel", "initrd", "root", "README.fixed", *marks):
            (directory / name).touch(mode=0o600)
        return directory

    def saved(self, appliance: Path) -> SavedMachine:
        """A machine of it that was saved."""
        saved = SavedMachine(appliance, self.qemu)
        saved.place.mkdir(mode=0o700)
        told = {"qemu": saved._identity(), "open": str(saved.place / "state")}
        for name, text in (("state", ""), ("root.qcow2", ""), ("how.json", json.dumps(told))):
            (saved.place / name).write_text(text)
            (saved.place / name).chmod(0o600)
        return saved

    def hangs(self, handle: GuestFS) -> str:
        """A launch whose qemu runs until it is killed."""
        program = Path(handle.set["tmpdir"]) / f"{QEMU}-hangs"
        shutil.copy("/bin/sleep", program)
        with subprocess.Popen([program, "60"]) as process:
            while Path(f"/proc/{process.pid}/comm").read_text().strip() != program.name[:15]:
                time.sleep(0.005)
        return "appliance closed the connection unexpectedly"


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """A host without KVM, whose qemu does nothing and whose stock appliance cannot be built anew."""
    (tmp_path / "libguestfs/supermin.d").mkdir(parents=True)
    (tmp_path / "libguestfs/supermin.d/init.tar.gz").write_bytes(b"no archive")
    (tmp_path / "bin").mkdir()
    qemu = tmp_path / "bin" / QEMU
    qemu.write_text("#!/bin/sh\nexit 1\n")
    qemu.chmod(0o755)
    host = Host(tmp_path / "libguestfs", qemu, tmp_path / "cache/guestrepair")
    monkeypatch.setenv("PATH", f"{qemu.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(host.cache.parent))
    bindings = ModuleType("guestfs")

    def made(**_how: bool) -> GuestFS:
        host.handles.append(GuestFS(host))
        return host.handles[-1]

    vars(bindings).update(GuestFS=made, EVENT_ENTER=16)
    monkeypatch.setitem(sys.modules, "guestfs", bindings)
    with_kvm(monkeypatch, there=False)
    return host


def with_kvm(monkeypatch: pytest.MonkeyPatch, *, there: bool) -> None:
    """Whether the host has /dev/kvm."""
    usual = os.access
    monkeypatch.setattr("os.access", lambda path, mode: there if path == "/dev/kvm" else usual(path, mode))


class Told:
    """Options of a launch, and the lines that it gave."""

    def __init__(self, **options: Any) -> None:
        self.notes: list[str] = []
        self.progress: list[str] = []
        self.options = LaunchOptions(note=self.notes.append, progress=self.progress.append, **options)


@contextmanager
def running(told: Told | None = None, *drives: Drive) -> Iterator[GuestFS]:
    """The handle, launched."""
    with launched(drives, (told or Told()).options) as starting:
        handle: Any = starting.handle()
        yield handle._handle


def all_closed(host: Host) -> bool:
    return all(handle.closed for handle in host.handles)


def kvm_works(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """By all that a probe can tell."""
    host.qemu.write_text("#!/bin/sh\necho 'VFS: Unable to mount root fs'\nexit 33\n")
    with_kvm(monkeypatch, there=True)
    assert acceleration().acceleration is Acceleration.KVM
