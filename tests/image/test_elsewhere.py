"""A guest on a server or in an archive is told the same of as one in a file of this host."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.image.conftest import Damaged
from tests.support.program import report_of, run
from tests.support.servers import nbd_server, nginx

pytestmark = pytest.mark.image
OWN = ("path", "timings", "read_bytes", "warnings", "disks")
"""What of a report is about the run or the place, not the guest."""


@pytest.fixture
def broken(damaged: Damaged) -> Path:
    return damaged(["fstab-wrong-uuid", "sshd-host-keys"])


@pytest.fixture
def port(broken: Path, tmp_path: Path) -> Iterator[int]:
    with nginx(broken.parent, tmp_path / "nginx") as port:
        yield port


def told(report: dict[str, Any]) -> dict[str, Any]:
    (image,) = report["images"]
    return {name: value for name, value in image.items() if name not in OWN}


def test_a_scan_of_it_is_the_same(broken: Path, port: int) -> None:
    status, here = report_of("scan", broken)
    uri = f"http://127.0.0.1:{port}/{broken.name}"
    again, there = report_of("scan", uri)
    assert (again, told(there)) == (status, told(here))
    assert status == 1
    image = there["images"][0]
    assert image["path"] == uri
    assert 0 < image["read_bytes"] < 0.25 * broken.stat().st_size
    with nbd_server(
        "--filter=delay", "--filter=error", "file", broken, "delay-read=1ms", "error-pread-rate=2%"
    ) as nbd:
        _, over_nbd = report_of("scan", "--host-only", f"nbd://127.0.0.1:{nbd}")
    _, host_only = report_of("scan", "--host-only", broken)
    assert told(over_nbd) == told(host_only)


def test_it_is_repaired_as_a_copy(broken: Path, port: int, tmp_path: Path) -> None:
    before, uri, made = broken.read_bytes(), f"http://127.0.0.1:{port}/{broken.name}", tmp_path / "made.qcow2"
    refused = run("repair", "--yes", uri)
    assert refused.returncode == 2
    assert "--output" in refused.stderr
    planned = run("repair", "--dry-run", uri)
    assert "UUID" in planned.stdout, planned.stderr
    done = run("repair", "--yes", "--output", made, uri)
    assert done.returncode == 0, done.stderr
    assert report_of("scan", made)[0] == 0
    assert broken.read_bytes() == before
    assert run("repair", "--yes", "--output", made, uri).returncode == 2, "never over a file that is there"
    assert run("undo", "--yes", made).returncode == 0
    for command in (
        ("undo", uri),
        ("edit", uri, "/etc/fstab"),
        ("put", uri, __file__, "/x"),
        ("history", uri),
    ):
        refused = run(*command)
        assert refused.returncode == 2, command
        assert len(refused.stderr.splitlines()) == 1


def test_other_commands_read_it(broken: Path, tmp_path: Path) -> None:
    archive = tmp_path / "delivery.tar"
    subprocess.run(["tar", "-cf", archive, "-C", broken.parent, broken.name], check=True)
    name = f"{archive}!{broken.name}"
    assert run("get", name, "/etc/hostname").stdout == run("get", broken, "/etc/hostname").stdout != ""
    assert "sshd_config" in run("ls", name, "/etc/ssh").stdout
    assert run("inspect", name).returncode == 0
    bundle = tmp_path / "case.tar"
    done = run("evidence", name, "-o", bundle)
    assert done.returncode == 0, done.stderr
    same = run("diff", broken, name)
    assert same.returncode == 0, same.stdout + same.stderr
