"""The program on a host that lacks something: the files are gone for it alone, in its own mount namespace."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from tests.support.program import PROGRAM

SECONDS = 120
_NAMESPACE = ["unshare", "--mount", "--propagation", "private"]


def _namespace() -> list[str]:
    """The command that makes one; whoever is not root becomes that in a user namespace."""
    return _NAMESPACE if os.geteuid() == 0 else [*_NAMESPACE, "--user", "--map-root-user"]


needs_namespaces = pytest.mark.skipif(
    "CI" not in os.environ and not Path("/proc/self/ns/mnt").exists(), reason="no mount namespaces here"
)


def run_without(
    gone: Iterable[Path], command: Sequence[str | Path], **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a command for which these files and directories are not there."""
    directories = dict.fromkeys(path.parent for path in gone)
    lines = ["set -e", "space=$(mktemp -d)", "mount -t tmpfs tmpfs $space"]
    for number, directory in enumerate(directories):
        place, over = shlex.quote(str(directory)), f"$space/{number}"
        lines += [
            f"mkdir {over} {over}.work",
            f"mount -t overlay overlay -o lowerdir={place},upperdir={over},workdir={over}.work {place}",
        ]
    lines += [f"rm -rf {shlex.quote(str(path))}" for path in gone]
    lines += ["umount -l $space", "rmdir $space", 'exec "$@"']
    return subprocess.run(
        [*_namespace(), "sh", "-c", "\n".join(lines), "sh", *map(str, command)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
        env={**os.environ, **variables},
    )


def guestrepair_without(
    gone: Iterable[Path], *arguments: str | Path, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run guestrepair on a host that lacks these files."""
    return run_without(list(gone), [PROGRAM, *arguments], **variables)


def files_of(module: str) -> list[Path]:
    """The files that a Python module consists of, in each place in which Python finds it."""
    asked = "import json, sys; print(json.dumps(sys.path))"
    python = PROGRAM.with_name("python")
    done = subprocess.run([python, "-I", "-c", asked], check=True, capture_output=True, text=True)
    name, _, within = module.partition(".")
    places = [Path(entry, name) if within else Path(entry) for entry in json.loads(done.stdout)]
    found = [place / (within or name) for place in places if (place / (within or name)).is_dir()]
    found += [path for place in places for path in place.glob(f"{within or name}.*py")]
    assert found, module
    return found
