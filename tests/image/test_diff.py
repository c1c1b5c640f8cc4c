"""diff on real images: what was changed is told, all of it and nothing else; the images stay as they are."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fixtures.appliance import edit
from tests.image.test_whole_command import copied
from tests.support.program import run

pytestmark = pytest.mark.image
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHl1MFVxJgq3b1m3b2f9l5l0v0k0m0cX2b7g1JcX5l0R mallory@x\n"


def diff(*arguments: str | Path) -> tuple[int, dict[str, Any]]:
    done = run("diff", *arguments, "--format", "json")
    assert done.stdout, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    assert not document["not_compared"]
    assert document["confirmed"] is False  # this host reads all of both, so no appliance is started
    return done.returncode, document


def told(document: dict[str, Any]) -> set[tuple[str, str, str]]:
    return {(d["section"], d["kind"], d["name"]) for d in document["differences"]}


def overlay(image: Path, path: Path) -> Path:
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", image, "-F", "qcow2", path], check=True)
    return path


def change(image: Path) -> None:
    """One change of each kind."""
    with edit(image) as handle:
        handle.chmod(0o777, "/etc/ssh")
        handle.write_append("/etc/fstab", b"tmpfs /scratch tmpfs size=10m 0 0\n")
        handle.cap_set_file("/usr/bin/env", "cap_net_raw=ep")
        handle.ln_s("/dev/null", "/etc/systemd/system/ssh.service")
        handle.write_append("/etc/passwd", b"eve:x:1500:1500:Eve:/home/eve:/bin/bash\n")
        handle.write_append("/root/.ssh/authorized_keys", KEY.encode())
        handle.mkdir_p("/opt/own/bin")
        handle.write("/opt/own/bin/tool", b"#!/bin/sh\n")
        handle.chmod(0o4755, "/opt/own/bin/tool")
        handle.write_append("/usr/bin/true", b"x")
        handle.write("/var/log/own.log", b"hello\n")


CHANGED = {
    ("attributes", "changed", "/etc/ssh"),
    ("fstab", "added", "/scratch"),
    ("configuration", "changed", "/etc/fstab"),
    ("attributes", "changed", "/usr/bin/env"),
    ("units", "changed", "ssh.service"),
    ("accounts", "added", "eve"),
    ("keys", "added", "root SHA256:VVNKexyazzlZOJBv3yYYgbEQLGYweVH2sXdY7HPy+jQ"),
    ("files", "added", "/opt/own"),
    ("files", "added", "/opt/own/bin/tool"),
    ("files", "changed", "/usr/bin/true"),
}


def test_two_overlays_of_one_image(debian_image: Path, tmp_path: Path) -> None:
    one, other = (overlay(debian_image, tmp_path / f"{name}.qcow2") for name in "ab")
    allowed = ("--allow-backing", debian_image.parent)
    status, document = diff(one, other, *allowed)
    assert (status, told(document)) == (0, set())
    change(other)
    before = one.read_bytes(), other.read_bytes()
    status, document = diff(one, other, *allowed)
    assert (status, told(document), document["noise"]) == (1, CHANGED, {"logs": 1})
    assert (one.read_bytes(), other.read_bytes()) == before


def test_an_internal_snapshot_whatever_it_is_called(debian_image: Path, tmp_path: Path) -> None:
    image = copied(debian_image, tmp_path / "a@b.qcow2")
    name = "snapshot.id=9,\x1b[2J first"
    subprocess.run(["qemu-img", "snapshot", "-c", name, image], check=True)
    change(image)
    status, document = diff(f"{image}@{name}", image)
    assert (status, told(document)) == (1, CHANGED)
    missing = run("diff", f"{image}@none", image)
    assert missing.returncode == 3
    assert "no internal snapshot 'none'" in missing.stderr
    assert "\x1b" not in missing.stderr


def test_an_image_as_it_was_before_a_repair(debian_image: Path, tmp_path: Path) -> None:
    image, state = overlay(debian_image, tmp_path / "image.qcow2"), ("--state-dir", str(tmp_path / "state"))
    allowed = ("--allow-backing", debian_image.parent)
    for name in ("one", "two"):
        (tmp_path / name).write_text(f"{name}\n")
        put = run("put", "--yes", *state, *allowed, image, tmp_path / name, "/etc")
        assert put.returncode == 0, put.stderr
    status, document = diff(f"{image}@before", image, *allowed, *state)
    assert (status, told(document)) == (1, {("configuration", "added", "/etc/two")})
    listed = json.loads(run("history", image, *state, *allowed, "--format", "json").stdout)
    first = listed["repairs"][0]["id"]
    _, document = diff(f"{image}@before:{first}", image, *allowed, *state)
    assert told(document) == {("configuration", "added", f"/etc/{name}") for name in ("one", "two")}
    unknown = run("diff", f"{image}@before:none", image, *allowed, *state)
    assert unknown.returncode == 2, unknown.stderr
