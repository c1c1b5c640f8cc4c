"""The inventory of real guests, judged by dpkg-query, dpkg --verify, rpm and systemctl on the same trees."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

import fixtures
from fixtures.appliance import appliance
from fixtures.debian import server
from fixtures.ext4 import Ext4
from fixtures.partitions import Partition, offset_bytes
from fixtures.rpm import guests
from guestrepair.packages.aliases import usr_form
from tests.support.program import run

pytestmark = [pytest.mark.image, pytest.mark.skipif(os.geteuid() != 0, reason="only root unpacks owners")]


def inventory(image: Path, *options: str | Path) -> dict[str, Any]:
    done = run("inspect", "--full", "--format", "json", *options, image)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)["images"][0]
    assert report["inconclusive"] == []
    found: dict[str, Any] = report["inventory"]
    return found


def said(*command: str | Path) -> list[str]:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.splitlines()


def unpacked(raw: Path, partitions: tuple[Partition, ...], path: str, into: Path) -> Path:
    """A directory of the ext4 root (third partition) by debugfs(8), with owners and modes: no launch."""
    into.mkdir(parents=True)
    target = f"{raw}?offset={offset_bytes(partitions, 3)}"
    subprocess.run(["debugfs", "-R", f"rdump {path} {into}", target], check=True, capture_output=True)
    return into


def rows_of(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    return sorted((p["name"], p["version"], p["architecture"]) for p in found["packages"])


def test_a_debian_guest_is_what_dpkg_and_systemctl_say(tmp_path: Path) -> None:
    image = fixtures.copy_of("debian-server", tmp_path / "image.raw")
    disk = Ext4(image, offset_bytes(server.PARTITIONS, 3))
    disk.write_append("/etc/pam.d/sshd", b"# edited\n")
    disk.write_append("/usr/bin/less", b"x")
    disk.rm("/usr/share/doc/bash/copyright")
    found = inventory(image, "--digests", "all")
    root = unpacked(image, server.PARTITIONS, "/", tmp_path / "root")
    database = root / "var/lib/dpkg"
    shown = "${Status}\t${Package}\t${Version}\t${Architecture}\n"
    lines = [line.split("\t") for line in said("dpkg-query", f"--admindir={database}", "-W", "-f", shown)]
    expected = sorted((n, v, a) for status, n, v, a in lines if status.split()[2] == "installed")
    assert rows_of(found) == expected
    print(f"\n{len(expected)} packages, as dpkg-query has them")
    verified = {usr_form(line[12:].strip()) for line in said("dpkg", "--verify", "--root", root)}
    assert {f["path"] for f in found["modified"]["files"]} == verified
    assert len(verified) == 3
    assert {f["path"] for f in found["modified"]["files"] if f["is_config"]} == {"/etc/pam.d/sshd"}
    _as_systemctl(found, root)
    text = json.dumps(found)
    shadow = (root / "etc/shadow").read_text().splitlines()
    assert not any(len(secret) > 3 and secret in text for secret in (line.split(":")[1] for line in shadow))


_SAME = {
    "enabled": "enabled",
    "disabled": "disabled",
    "static": "static",
    "masked": "masked",
    "alias": "alias",
}


def _as_systemctl(found: dict[str, Any], root: Path) -> None:
    """States that both have words for; systemctl has more (indirect, generated, linked)."""
    if shutil.which("systemctl") is None:
        return
    lines = said("systemctl", f"--root={root}", "list-unit-files", "--no-legend", "--no-pager", "--full")
    theirs = {words[0]: words[1] for line in lines if len(words := line.split()) >= 2}
    ours = {unit["name"]: unit["state"] for unit in found["units"]}
    both = {name for name in theirs if theirs[name] in _SAME and ours.get(name) in _SAME}
    assert {name: ours[name] for name in both} == {name: theirs[name] for name in both}
    print(f"{len(both)} of {len(theirs)} units in the state that systemctl has")
    assert len(both) > 0.9 * len(theirs) > 50


@pytest.mark.parametrize("name", ["centos7-like", pytest.param("rocky9-like", marks=pytest.mark.long)])
def test_an_rpm_guest_has_the_packages_that_rpm_lists(name: str, tmp_path: Path) -> None:
    image = fixtures.build(name)
    found = inventory(image)
    database, kind = _bdb(tmp_path) if name == "centos7-like" else _sqlite(image, tmp_path)
    shown = "%{NAME}\t%|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}\t%{ARCH}\t%{LICENSE}\n"
    place = ("--dbpath", database, "--define", f"_db_backend {kind}")
    lines = [line.split("\t") for line in said("rpm", *place, "-qa", "--qf", shown)]
    assert rows_of(found) == sorted((n, v, a) for n, v, a, _ in lines)
    assert {p["name"]: p["license"] for p in found["packages"]} == {n: text for n, _, _, text in lines}
    print(f"\n{name}: {len(lines)} packages, as rpm has them")
    bill = tmp_path / "sbom.json"
    done = run("inspect", "--format", "cyclonedx", "-o", bill, image)
    assert done.returncode == 0, done.stderr
    document = json.loads(bill.read_text())
    assert len(document["components"]) == len(lines) > 50
    assert all(c["purl"].startswith("pkg:rpm/") and "distro=" in c["purl"] for c in document["components"])


def _bdb(folder: Path) -> tuple[Path, str]:
    raw = fixtures.copy_of("centos7-like", folder / "image.raw")
    return unpacked(raw, guests.CENTOS7_DISK, "/var/lib/rpm", folder / "tree") / "rpm", "bdb_ro"


def _sqlite(image: Path, folder: Path) -> tuple[Path, str]:
    """XFS, which no program reads without a kernel: the database alone, from the appliance."""
    with appliance([(image, "qcow2")], read_only=True) as g:
        g.mount_ro("/dev/disk/guestfs/diska3", "/")
        g.copy_out("/var/lib/rpm", str(folder))
    return folder / "rpm", "sqlite"
