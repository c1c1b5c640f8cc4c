"""evidence on a real image: the same bytes twice, digests that others reckon too, and an image as it was."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import fixtures
from tests.image.conftest import Damaged
from tests.support.program import PROGRAM, run

pytestmark = pytest.mark.image
FAULTS = ("fstab-wrong-uuid", "sshd-host-keys", "sshd-config", "truncated", "bin-missing")
CUSTODY = ("--case", "2026-7", "--examiner", "A. Turing", "--notes", "\u00fcber\nzwei Zeilen")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def unpacked(bundle: Path, place: Path) -> Path:
    place.mkdir()
    subprocess.run(["tar", "-xf", bundle, "-C", place], check=True)
    subprocess.run(["sha256sum", "-c", "--quiet", "--strict", "SHA256SUMS"], cwd=place, check=True)
    return place


def document(place: Path, name: str) -> Any:
    return json.loads((place / name).read_text())


def test_a_broken_server(damaged: Damaged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = damaged(FAULTS)
    before = sha256(image)
    one, other = tmp_path / "one.tar", tmp_path / "elsewhere" / "other.tar"
    other.parent.mkdir()
    done = run("evidence", image, "-o", one, *CUSTODY)
    assert done.returncode == 0, done.stderr
    assert f"SHA-256 {sha256(one)}" in done.stdout
    monkeypatch.chdir(tmp_path)  # and by another name of the same file, from elsewhere
    assert run("evidence", "image.qcow2", "-o", other, *CUSTODY).returncode == 0
    assert one.read_bytes() == other.read_bytes()
    assert sha256(image) == before
    assert one.stat().st_mode & 0o777 == 0o600
    assert {path.name for path in tmp_path.iterdir()} == {"image.qcow2", "one.tar", "elsewhere"}

    place = unpacked(one, tmp_path / "unpacked")
    evidence = document(place, "evidence.json")
    assert (evidence["case_number"], evidence["examiner"]) == ("2026-7", {"name": "A. Turing"})
    assert evidence["notes"] == CUSTODY[-1]
    assert evidence["unchanged"]
    assert evidence["examined"]
    source = evidence["source"][0]
    stored = source["backing_chain"][0]["files"][0]
    assert stored["sha256_before"] == stored["sha256_after"] == before
    raw = tmp_path / "seen.raw"
    subprocess.run(["qemu-img", "convert", "-O", "raw", image, raw], check=True)
    said = subprocess.run(["sha256sum", raw], check=True, capture_output=True, text=True).stdout
    assert source["guest_visible"]["sha256_before"] == said.split()[0]

    _check_files(place, image)
    scanned = json.loads(run("scan", image, "--format", "json").stdout)
    report = document(place, "report.json")
    for each in (scanned, report):
        each["images"][0].pop("timings", None)
        each["images"][0].pop("path")
        for disk in each["images"][0]["disks"]:
            disk.pop("path")
    assert report == scanned
    lines = (place / "timeline.jsonl").read_text().splitlines()
    assert len(lines) == evidence["timeline"]["events"] > 10_000
    assert [json.loads(line)["timestamp"] for line in lines] == sorted(
        json.loads(line)["timestamp"] for line in lines
    )


def _check_files(place: Path, image: Path) -> None:
    """The named files as ``get`` shows them, and what is known of them."""
    files = {each["path"]: each for each in document(place, "metadata.json")["files"]}
    assert run("get", image, "/etc/fstab").stdout == (place / "files/etc/fstab").read_text()
    for path in ("/etc/fstab", "/etc/ssh/sshd_config", "/etc/ssh/ssh_host_ed25519_key"):
        assert (place / files[path]["member"]).stat().st_size == files[path]["size_bytes"] > 0
        assert files[path]["member"] == f"files{path}"
        assert "Metadata Modification Time" in files[path]["times"]
    assert files["/etc/ssh/ssh_host_ed25519_key"]["mode"] == "0666"
    assert files["/usr/bin/ls"] == {"path": "/usr/bin/ls", "rules": ["packages/file-missing"], "there": False}
    assert files["/usr/bin/sudo"]["size_bytes"] == 0
    assert files["/usr/bin/sudo"]["mode"] == "4755"


def test_an_image_without_a_system_and_an_authority_that_is_away(tmp_path: Path) -> None:
    image, bundle = tmp_path / "blank.raw", tmp_path / "x.tar"
    image.write_bytes(bytes(8 << 20))
    done = run("evidence", image, "-o", bundle, "--timestamp", "http://127.0.0.1:1/")
    assert done.returncode == 3
    assert [line.split(": ")[2] for line in done.stderr.splitlines()][-1].startswith("no answer")
    assert "Traceback" not in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"blank.raw", "x.tar"}
    evidence = document(unpacked(bundle, tmp_path / "unpacked"), "evidence.json")
    assert not evidence["examined"]
    digest = hashlib.sha256(bytes(8 << 20)).hexdigest()
    assert evidence["source"][0]["guest_visible"]["sha256_after"] == digest


def taking(image: Path, bundle: Path) -> Iterator[subprocess.Popen[str]]:
    """The command, when it has begun to take files of the guest."""
    command: list[str | Path] = [PROGRAM, "evidence", image, "-o", bundle]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as started:
        end = time.monotonic() + 300
        while not list(bundle.parent.glob(".guestrepair-tmp-*/taken-1")):
            assert started.poll() is None
            assert time.monotonic() < end
            time.sleep(0.02)
        yield started


@pytest.fixture(scope="module")
def with_unsafe_keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A server with one fault; not to be written to."""
    out = tmp_path_factory.mktemp("keys") / "image.qcow2"
    return fixtures.damaged("debian-server", ["sshd-host-keys"], out=out)


def test_an_image_that_changes_meanwhile(with_unsafe_keys: Path, tmp_path: Path) -> None:
    image, bundle = fixtures.copy_of(with_unsafe_keys, tmp_path / "image.qcow2"), tmp_path / "x.tar"
    for started in taking(image, bundle):
        with image.open("ab") as file:
            file.write(bytes(4096))  # behind the last cluster: nothing of the guest
        _, stderr = started.communicate(timeout=300)
        assert started.returncode == 3
    assert len(stderr.splitlines()) == 1
    assert "it has changed while it was examined" in stderr
    assert {path.name for path in tmp_path.iterdir()} == {"image.qcow2"}


def test_an_interrupted_one_leaves_nothing(with_unsafe_keys: Path, tmp_path: Path) -> None:
    image, bundle = fixtures.copy_of(with_unsafe_keys, tmp_path / "image.qcow2"), tmp_path / "x.tar"
    before = sha256(image)
    bundle.write_text("the one before")
    for started in taking(image, bundle):
        started.send_signal(signal.SIGINT)
        _, stderr = started.communicate(timeout=60)
        assert started.returncode == 130
    assert "Traceback" not in stderr
    assert {path.name for path in tmp_path.iterdir()} == {"image.qcow2", "x.tar"}
    assert bundle.read_text() == "the one before"
    assert sha256(image) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small filesystem")
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    image, small = tmp_path / "blank.raw", tmp_path / "small"
    image.write_bytes(bytes(8 << 20))
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "none", small], check=True)
    try:
        done = run("evidence", image, "-o", small / "x.tar")
        assert not list(small.iterdir())
    finally:
        subprocess.run(["umount", "--lazy", small], check=True)
    assert done.returncode == 3
    assert len(done.stderr.splitlines()) == 1
    assert "x.tar: No space left on device" in done.stderr
