"""Which of this host's kernels supermin may make the appliance of, and how old the oldest of them is.

Source: supermin(1), SUPERMIN_KERNEL and FILES; guestfs(3), LIBGUESTFS_PATH.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

USUAL_PLACES = ("/usr/lib64/guestfs", "/usr/lib/*/guestfs", "/usr/lib/guestfs")
"""Where distributions keep what libguestfs makes its appliance of."""

_ELSEWHERE = ("LIBGUESTFS_PATH", "SUPERMIN_KERNEL", "SUPERMIN_KERNEL_VERSION", "SUPERMIN_MODULES")
_FIXED = "README.fixed"
_RELEASE = re.compile(r"(\d{1,4})\.(\d{1,4})(?!\d)", re.ASCII)


def kernel_files(root: Path = Path("/")) -> list[Path]:
    """All kernels below ``/boot`` or with their modules, sorted by name; some may have no modules."""
    return sorted((*root.glob("boot/vmlinu[xz]-*"), *root.glob("lib/modules/*/vmlinuz")))


def release_of(kernel: Path) -> str:
    """The release (``uname -r``) by the name of its file."""
    return kernel.parent.name if kernel.name == "vmlinuz" else kernel.name.partition("-")[2]


def oldest_version(
    root: Path = Path("/"), environment: Mapping[str, str] = os.environ
) -> tuple[int, int] | None:
    """The version of the oldest kernel that the appliance may run, as (6, 1); None where that is not known.

    Whichever supermin takes, its modules lie in a folder by its release: all of these count. A ready
    appliance, or a kernel that the environment names, may be of any version.
    """
    if any(environment.get(name) for name in _ELSEWHERE) or _is_ready_made(root):
        return None
    folders = {
        path.parent for name in ("modules.dep", "vmlinuz") for path in root.glob(f"lib/modules/*/{name}")
    }
    found = [_version(folder.name) for folder in folders] if kernel_files(root) else []
    known = [version for version in found if version is not None]
    return min(known) if known and len(known) == len(found) else None


def _is_ready_made(root: Path) -> bool:
    """Whether the distribution's folder holds a fixed appliance (libguestfs-make-fixed-appliance(1))."""
    return any(
        (place / _FIXED).exists() for usual in USUAL_PLACES for place in root.glob(usual.removeprefix("/"))
    )


def _version(release: str) -> tuple[int, int] | None:
    found = _RELEASE.match(release)
    return (int(found[1]), int(found[2])) if found else None
