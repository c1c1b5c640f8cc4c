"""netplan, nmcli and ifquery for the oracles: unpacked from their packages, never installed on this host.

To install network-manager, netplan.io or ifupdown would change this host's own network.
"""

from __future__ import annotations

import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from fixtures import cache

PACKAGES = ("netplan.io", "libnetplan0", "network-manager", "libnm0", "ifupdown")


def _make(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as debs:
        subprocess.run(
            ["apt-get", "-qq", "download", *PACKAGES], cwd=debs, check=True, capture_output=True, timeout=300
        )
        for deb in sorted(Path(debs).glob("*.deb")):
            subprocess.run(["dpkg-deb", "-x", deb, folder / "root"], check=True, capture_output=True)
    root = (folder / "root").resolve()
    for link in [p for p in root.rglob("*") if p.is_symlink()]:
        named = link.readlink()
        target = (root / str(named).lstrip("/") if named.is_absolute() else link.parent / named).resolve()
        link.unlink()  # the cache keeps no links
        if target.is_file() and root in target.parents:
            shutil.copy2(target, link)


@functools.cache
def _root() -> Path | str:
    """The unpacked tree, or why there is none."""
    if not all(map(shutil.which, ("apt-get", "dpkg-deb"))):
        return "this host has no apt and dpkg"
    try:
        return cache.cached("network-tools", {"packages": PACKAGES, "revision": 3}, _make) / "root"
    except (subprocess.SubprocessError, OSError) as error:
        return f"the packages {', '.join(PACKAGES)} cannot be fetched: {error}"


class Tool:
    """A program of the tree, with the libraries that came with it."""

    def __init__(self, *places: str) -> None:
        root = _root()
        if isinstance(root, str):
            pytest.skip(root)
        found = next((root / p for p in places if (root / p).is_file()), None)
        if found is None:
            pytest.skip(f"none of {places} is in the packages")
        self._program = found
        folders = [root / f"{top}lib/x86_64-linux-gnu" for top in ("", "usr/")]
        self._environment = {
            "LD_LIBRARY_PATH": ":".join(map(str, folders)),
            "LC_ALL": "C",
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        }
        probe = subprocess.run(
            ["ldd", found], env=self._environment, capture_output=True, text=True, check=False
        )
        if "not found" in probe.stdout:
            pytest.skip(f"{found.name} needs a library that this host does not have")

    def run(self, *arguments: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run it; its words in English."""
        return subprocess.run(
            [self._program, *arguments], env=self._environment, input=stdin, capture_output=True,
            text=True, check=False, timeout=60,
        )  # fmt: skip
