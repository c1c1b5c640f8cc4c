"""``dpkg --audit`` as the judge of which states of packages are unfinished ones."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from guestrepair.guest.devices import OperatingSystem
from guestrepair.guest.host_directory import HostDirectoryGuest
from guestrepair.packages import open_database

pytestmark = pytest.mark.skipif(shutil.which("dpkg") is None, reason="dpkg is not installed")

WANTED = ("install", "hold", "deinstall", "purge")
FLAGS = ("ok", "reinstreq")
STATES = (
    "config-files", "half-installed", "unpacked", "half-configured", "triggers-awaited", "triggers-pending",
    "installed",
)  # fmt: skip


def test_the_states_that_dpkg_complains_of(tmp_path: Path) -> None:
    info = tmp_path / "var/lib/dpkg/info"
    info.mkdir(parents=True)
    (info.parent / "updates").mkdir()
    (info.parent / "triggers").mkdir()
    status = ""
    names = {}
    for number, words in enumerate(itertools.product(WANTED, FLAGS, STATES)):
        name = f"p{number}"
        names[name] = " ".join(words)
        status += f"Package: {name}\nStatus: {names[name]}\nMaintainer: a <a@b.example>\nArchitecture: all\n"
        status += "Version: 1\nDescription: x\n"
        status += "Triggers-Pending: x\n" * (words[2] == "triggers-pending")
        status += "Triggers-Awaited: p0\n" * (words[2] == "triggers-awaited") + "\n"
        (info / f"{name}.list").write_text("/.\n")
        (info / f"{name}.md5sums").write_text("")
    (info.parent / "status").write_text(status)
    said = subprocess.run(
        ["dpkg", "--audit", "--root", tmp_path], capture_output=True, text=True, check=False
    )
    audited = set(re.findall(r"^ (p\d+)\s", said.stdout, re.MULTILINE))
    assert len(audited) > 20, said
    database = open_database(HostDirectoryGuest(tmp_path, os_release=OperatingSystem("debian")))
    assert database is not None
    ours = {found.package.name for found in database.unfinished}
    assert {names[name] for name in ours ^ audited} == set()
