"""Which label a policy gives a path: our reading of file_contexts against libselinux's matchpathcon."""

from __future__ import annotations

import random
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from guestrepair.formats.file_contexts import lookup, parse_file_contexts

MATCHPATHCON = shutil.which("matchpathcon", path="/usr/sbin:/usr/bin:/sbin")
POLICIES, PATHS = 30, 40
KINDS = {"file": stat.S_IFREG, "dir": stat.S_IFDIR, "lnk_file": stat.S_IFLNK, "sock_file": stat.S_IFSOCK}
FLAGS = {"file": "--", "dir": "-d", "lnk_file": "-l", "sock_file": "-s"}
NAMES = (
    "etc",
    "ssh",
    "home",
    "ann",
    ".ssh",
    "usr",
    "lib",
    "lib64",
    "bin",
    "x.so.1",
    "shadow",
    "shadow-",
    "a b",
)


def path(chance: random.Random) -> str:
    return "/" + "/".join(chance.choice(NAMES[:-1]) for _ in range(chance.randint(1, 4)))


def expression(chance: random.Random) -> str:
    made = path(chance).replace(".", "\\.")
    forms = (
        *(made, made, f"{made}(/.*)?", f"{made}/.*", made.replace("ann", "[^/]+"), f"{made}.*"),
        *(f"{made}-?", made.replace("lib", "lib(64)?"), "/.*", f"{made}[-+]?"),
        made.replace("etc", "(etc|usr)"),
    )
    return chance.choice(forms)


def policy(chance: random.Random) -> str:
    lines = []
    for number in range(chance.randint(5, 40)):
        flag = chance.choice(("", "", "", *FLAGS.values()))
        label = "<<none>>" if chance.random() < 0.05 else f"system_u:object_r:t{number}_t:s0"
        lines.append(f"{expression(chance)}\t{flag}\t{label}" if flag else f"{expression(chance)}\t{label}")
    unique = {tuple(line.split("\t")[:-1]): line for line in lines}
    return "\n".join(unique.values()) + "\n"


@pytest.mark.skipif(MATCHPATHCON is None, reason="this host has no matchpathcon (selinux-utils)")
def test_the_label_of_a_path_is_libselinuxs(tmp_path: Path) -> None:
    chance = random.Random(12)  # noqa: S311 - test data that comes out alike each time
    file = tmp_path / "file_contexts"
    asked = labelled = 0
    for _ in range(POLICIES):
        text = policy(chance)
        file.write_text(text)
        specifications = parse_file_contexts(text.encode())
        for kind, mode in KINDS.items():
            paths = [path(chance) for _ in range(PATHS)]
            run = subprocess.run(
                [str(MATCHPATHCON), "-f", str(file), "-m", kind, *paths],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            answers = dict(line.split("\t", 1) for line in run.stdout.splitlines() if "\t" in line)
            for each in paths:
                theirs = answers.get(each, "<<none>>")
                asked += 1
                labelled += theirs != "<<none>>"
                ours = lookup(specifications, each, mode) or "<<none>>"
                assert ours == theirs, f"{each} ({kind})\n{text}"
    print(f"SELinux labels: {asked} paths under {POLICIES} policies, {labelled} labelled, libselinux agrees")
    assert labelled > asked // 4
