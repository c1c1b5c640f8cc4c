"""Many small images that are systems, made at native speed by mke2fs; and runs of ``fleet`` over them."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.support.program import PROGRAM

_OS_RELEASE = 'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n'
_STANZA = """Package: {0}
Status: install ok installed
Priority: optional
Section: misc
Maintainer: nobody <nobody@example.com>
Architecture: amd64
Version: {1}
Description: a package

"""
_PASSWD = "root:x:0:0:root:/root:/bin/bash\n"


def tiny_root(
    folder: Path,
    name: str,
    fstab: str = "",
    packages: Mapping[str, str] | None = None,
    files: Mapping[str, str] | None = None,
) -> Path:
    """An ext4 filesystem of 2 MiB, without a partition table, that is a system to whoever looks at it.

    ``packages`` are versions by name, in dpkg's database; ``files`` are further ones by their path in it.
    """
    tree = folder / f".{name}.tree"
    (tree / "etc").mkdir(parents=True)
    (tree / "bin").mkdir()
    (tree / "etc/os-release").write_text(_OS_RELEASE)
    (tree / "etc/passwd").write_text(_PASSWD)
    (tree / "etc/fstab").write_text(fstab)
    (tree / "etc/hostname").write_text(f"{name}\n")
    if packages:
        (tree / "var/lib/dpkg/info").mkdir(parents=True)
        (tree / "var/lib/dpkg/status").write_text("".join(_STANZA.format(*p) for p in packages.items()))
        for package in packages:
            (tree / f"var/lib/dpkg/info/{package}.list").write_text("/.\n")
    for path, content in (files or {}).items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(content)
    image = folder / f"{name}.raw"
    subprocess.run(
        ["mke2fs", "-q", "-F", "-t", "ext4", "-d", tree, image, "2m"],
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    shutil.rmtree(tree)
    return image


def tiny_roots(folder: Path, count: int) -> list[Path]:
    """So many of them; each seventh has a line in fstab that leads nowhere."""
    folder.mkdir(parents=True, exist_ok=True)
    bad = "UUID=deadbeef-0000-4000-8000-000000000000 /srv ext4 defaults 0 2\n"
    return [tiny_root(folder, f"m{n:03}", bad if n % 7 == 3 else "") for n in range(count)]


def fleet(
    *words: str | Path,
    environment: dict[str, str] | None = None,
    stdin: bytes = b"",
    seconds: float = 300,
    cwd: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """``guestrepair fleet scan`` run to its end."""
    done = subprocess.run(
        [PROGRAM, "fleet", "scan", *words],
        input=stdin,
        capture_output=True,
        check=False,
        timeout=seconds,
        env={**os.environ, **(environment or {})},
        cwd=cwd,
    )
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode(errors="replace")
    )


def start_fleet(*words: str | Path) -> subprocess.Popen[bytes]:
    """The same, started; in a session of its own."""
    return subprocess.Popen(
        [PROGRAM, "fleet", "scan", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def rows(state: Path) -> list[dict[str, Any]]:
    """The table of a state directory, as anybody's sqlite reads it; empty as long as there is none."""
    try:
        with sqlite3.connect(f"file:{state}/fleet.sqlite?mode=ro", uri=True) as database:
            database.row_factory = sqlite3.Row
            return [dict(row) for row in database.execute("SELECT * FROM image ORDER BY rowid")]
    except sqlite3.OperationalError:
        return []


def records(state: Path) -> dict[str, dict[str, Any]]:
    """The records by the path of their image."""
    found = [json.loads(path.read_text()) for path in sorted((state / "reports").glob("*.json"))]
    return {record["images"][0]["path"]: record for record in found}


def inodes(state: Path) -> dict[str, int]:
    """Which file each record is: another number is another scan."""
    return {path.name: path.stat().st_ino for path in (state / "reports").glob("*.json")}


def children_of(pid: int) -> list[int]:
    """All processes below one, as ps(1) tells."""
    listed = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True, check=True)
    pairs: Sequence[tuple[int, int]] = [
        (int(a), int(b)) for a, b in (line.split() for line in listed.stdout.splitlines())
    ]
    found = [pid]
    for each in found:
        found += [child for child, parent in pairs if parent == each]
    return found[1:]


def lives(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
