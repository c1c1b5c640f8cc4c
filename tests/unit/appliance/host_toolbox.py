"""A toolbox in an appliance that is a directory of this host: programs are packed, brought, run."""

from __future__ import annotations

import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import pytest

from guestrepair.appliance import toolbox as module
from guestrepair.appliance.handle import Handle
from guestrepair.appliance.toolbox import Toolbox


class Appliance:
    """Mount points are directories; ``says`` is what a program has printed in its end's stead."""

    def __init__(self) -> None:
        self.mounted: dict[str, str] = {}
        self.uploads = 0
        self.says: str | None = None
        self.gone = False

    def handle(self) -> Handle:
        if self.gone:
            raise RuntimeError("appliance closed the connection unexpectedly")
        return cast("Handle", self)

    def mountpoints(self) -> Mapping[str, str]:
        return self.mounted

    def mkmountpoint(self, path: str) -> None:
        try:
            Path(path).mkdir()
        except FileExistsError as error:
            raise RuntimeError(f"mkmountpoint: {path}: File exists") from error

    def mount_vfs(self, _options: str, kind: str, _device: str, path: str) -> None:
        self.mounted[kind] = path

    def tar_in(self, archive: str, path: str) -> None:
        self.uploads += 1
        with tarfile.open(archive) as tar:
            tar.extraction_filter = lambda member, _path: member  # the toolbox has just made it
            tar.extractall(path)  # noqa: S202

    def command(self, arguments: Sequence[str]) -> str:
        if self.says is not None:
            return self.says
        done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=60)
        if done.returncode:
            raise RuntimeError(f"command: {done.stderr}")
        return done.stdout


def toolbox_in(
    place: Path, appliance: Appliance, patch: pytest.MonkeyPatch, programs: Mapping[str, str] | None = None
) -> Toolbox:
    """A toolbox whose directories are below ``place``."""
    patch.setattr(module, "SCRATCH", str(place / "scratch"))
    return Toolbox(appliance, module.CHECKERS if programs is None else programs, str(place / "toolbox"))
