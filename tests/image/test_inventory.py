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
from guestrepair.packages.aliases import usr_form
from tests.image.test_packages import extracted
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


def rows_of(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    return sorted((p["name"], p["version"], p["architecture"]) for p in found["packages"])


def test_a_debian_guest_is_what_dpkg_and_systemctl_say(tmp_path: Path) -> None:
    image = tmp_path / "image.qcow2"
    fixtures.copy_of("debian-server", image)
    with fixtures.edit(image) as g:
        g.write_append("/etc/ssh/sshd_config", "# edited\n")
        g.write_append("/usr/bin/less", "x")
        g.rm("/usr/share/doc/bash/copyright")
    found = inventory(image, "--digests", "all")
    root = extracted(image, tmp_path / "root")
    database = root / "var/lib/dpkg"
    shown = "${Status}\t${Package}\t${Version}\t${Architecture}\n"
    lines = [line.split("\t") for line in said("dpkg-query", f"--admindir={database}", "-W", "-f", shown)]
    expected = sorted((n, v, a) for status, n, v, a in lines if status.split()[2] == "installed")
    assert rows_of(found) == expected
    print(f"\n{len(expected)} packages, as dpkg-query has them")
    verified = {usr_form(line[12:].strip()) for line in said("dpkg", "--verify", "--root", root)}
    assert {f["path"] for f in found["modified"]["files"]} == verified
    assert len(verified) == 3
    assert {f["path"] for f in found["modified"]["files"] if f["is_config"]} == {"/etc/ssh/sshd_config"}
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


@pytest.mark.parametrize("name", ["centos7-like", "rocky9-like"])
def test_an_rpm_guest_has_the_packages_that_rpm_lists(name: str, tmp_path: Path) -> None:
    image = fixtures.build(name)
    bill = tmp_path / "sbom.json"
    found = inventory(image)
    copy = tmp_path / "image.qcow2"
    root = extracted(fixtures.copy_of(name, copy), tmp_path / "root")
    kind = "bdb_ro" if (root / "var/lib/rpm/Packages").exists() else "sqlite"
    shown = "%{NAME}\t%|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}\t%{ARCH}\t%{LICENSE}\n"
    place = ("--root", root, "--dbpath", "/var/lib/rpm", "--define", f"_db_backend {kind}")
    lines = [line.split("\t") for line in said("rpm", *place, "-qa", "--qf", shown)]
    assert rows_of(found) == sorted((n, v, a) for n, v, a, _ in lines)
    assert {p["name"]: p["license"] for p in found["packages"]} == {n: text for n, _, _, text in lines}
    print(f"\n{name}: {len(lines)} packages, as rpm has them")
    done = run("inspect", "--format", "cyclonedx", "-o", bill, image)
    assert done.returncode == 0, done.stderr
    document = json.loads(bill.read_text())
    assert len(document["components"]) == len(lines) > 50
    assert all(c["purl"].startswith("pkg:rpm/") and "distro=" in c["purl"] for c in document["components"])
