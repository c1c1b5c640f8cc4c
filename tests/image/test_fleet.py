"""Clones of a real server in a fleet: one verdict each, that of a scan by itself, whatever they share."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fixtures.appliance import appliance
from tests.support.fleet import fleet, records, rows
from tests.support.program import report_of

pytestmark = pytest.mark.image
ROOT, DAMAGED = "/dev/sda3", "/usr/bin/cat"


@pytest.fixture(scope="module")
def clones(tmp_path_factory: pytest.TempPathFactory, debian_image: Path) -> list[Path]:
    """Overlays of one server, each with a name of its own; in the second one a program is damaged."""
    folder = tmp_path_factory.mktemp("clones")
    os.link(debian_image, folder / "base.qcow2")
    made = [folder / f"vm{number}.qcow2" for number in range(3)]
    for image in made:
        command = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", image.name]
        subprocess.run(command, check=True, cwd=folder)
    with appliance([(image, "qcow2") for image in made]) as handle:
        for letter, image in zip("abc", made, strict=True):
            handle.mount_options("", f"/dev/sd{letter}3", "/")
            handle.write("/etc/hostname", f"{image.stem}\n")
            if letter == "b":
                content = handle.read_file(DAMAGED)
                handle.pwrite(DAMAGED, bytes(len(content[:4096])), 0)
            handle.umount_all()
    return made


def told(image: dict[str, Any]) -> dict[str, Any]:
    """What a report says of an image, without ``facts``, which a fleet's records hold besides."""
    return {name: value for name, value in image.items() if name not in {"timings", "confirmed", "facts"}}


@pytest.mark.parametrize("backwards", [False, True])
def test_clones_share_what_was_read_and_keep_their_own_verdicts(
    clones: list[Path], tmp_path: Path, backwards: bool
) -> None:
    """Whichever comes first: no digest of the healthy file is believed of the damaged one, nor of that."""
    order = clones[1::-1] if backwards else clones[:2]
    options = ("--host-only", "--digests", "all")
    for image in (*order, clones[2]):
        fleet("--state", tmp_path, *options, "--jobs", "1", image)
    kept = records(tmp_path)
    for image in clones:
        _, alone = report_of("scan", *options, image)
        assert told(kept[str(image)]["images"][0]) == told(alone["images"][0])
    # 3: by itself the host does not say the last word on a file that differs.
    assert [row["exit_status"] for row in sorted(rows(tmp_path), key=lambda row: row["uri"])] == [0, 3, 0]
    for image in clones:
        found = kept[str(image)]["images"][0]
        said = json.dumps([found["findings"], found["inconclusive"]])
        assert (DAMAGED in said) is (image == clones[1])
    with sqlite3.connect(tmp_path / "digests.sqlite") as database:
        assert database.execute("SELECT count(*) FROM digest").fetchone()[0] > 10_000


def test_no_appliance_is_started_for_what_the_host_is_certain_of(clones: list[Path], tmp_path: Path) -> None:
    """And one is for what is wrong: the same findings as of a scan by itself, confirmed."""
    assert fleet("--state", tmp_path, clones[0], clones[1]).returncode == 1
    kept = records(tmp_path)
    healthy, damaged = (kept[str(image)]["images"][0] for image in clones[:2])
    assert (healthy["confirmed"], damaged["confirmed"]) == (False, True)
    _, alone = report_of("scan", clones[1])
    assert damaged["findings"] == alone["images"][0]["findings"]
    by_name = {row["uri"]: row for row in rows(tmp_path)}
    assert by_name[str(clones[1])]["peak_rss_kib"] > 2 * by_name[str(clones[0])]["peak_rss_kib"]
