"""What is said of cloud-init before a boot is what it does: the datasource, the instance, what it writes."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

import fixtures
from fixtures.booting import Booted, needs
from fixtures.debian.cloud import NAME, seed_disk
from fixtures.debian.server import HOSTNAME
from fixtures.ssh import Answer, ssh
from guestrepair.analyzers.base import Context
from guestrepair.boot import BootOptions, prove
from guestrepair.disk import examine, throwaway
from guestrepair.session.session import SessionDisk, open_session

pytestmark = [pytest.mark.boot, pytest.mark.long]

ASKED = """
echo $(cloud-init status --wait --long 2>/dev/null)
echo $(cat /run/cloud-init/result.json 2>/dev/null)
echo $(cat /var/lib/cloud/data/instance-id 2>/dev/null)
hostname
echo $(cat /etc/seeded 2>/dev/null)
"""
SEED = {
    "meta_data": "instance-id: i-proof\nlocal-hostname: seeded\n",
    "user_data": "#cloud-config\nwrite_files:\n- {path: /etc/seeded, content: by-cloud-init}\n",
}
TIMEOUT_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Predicted:
    """What the disks alone say of the next boot."""

    datasource: str
    runs_without_one: bool
    instance: str | None
    hostname: str
    disabled_by: str


def predicted(*images: Path) -> Predicted:
    """Read offline, from the image and its further disks."""
    with contextlib.ExitStack() as stack:
        disks = []
        for path in images:
            image = examine(path)
            overlay = stack.enter_context(throwaway(image)).path
            disks.append(
                SessionDisk(overlay=overlay, host_path=str(path), size_bytes=image.virtual_size_bytes)
            )
        session = stack.enter_context(open_session(disks))
        cloud = Context(session.guest(session.choose_root())).system.cloud_init
        found = Predicted(
            cloud.expected_datasource,
            cloud.identify.if_nothing,
            cloud.coming.instance_id,
            cloud.coming.hostname,
            cloud.disabled_by,
        )
        assert session.verified()
    return found


def booted_with(folder: Path, *, seeded: bool) -> Booted:
    image = fixtures.build(NAME)
    further = (seed_disk(folder, **SEED),) if seeded else ()
    answers: dict[str, Answer] = {}

    def log_in(port: int) -> None:
        answers["root"] = ssh(port, ASKED, user="root", timeout_seconds=TIMEOUT_SECONDS)

    options = BootOptions(ssh=True, timeout_seconds=TIMEOUT_SECONDS, while_up=log_in)
    boot = prove(image, further=further, options=options)
    return Booted(image, report={"predicted": predicted(image, *further)}, boot=boot, answers=answers)


def happened(booted: Booted) -> tuple[str, str, list[str]]:
    """(datasource, instance-id, the other lines): "" for what there is none of."""
    assert booted.boot is not None
    assert "root" in booted.answers, booted.boot.summary
    status, result, instance, *others = booted.answers["root"].output.split("\n")
    said = json.loads(result)["v1"] if result else {}
    assert not said.get("errors"), said
    if not result:
        assert "disabled" in status
    name = str(said.get("datasource") or "").removeprefix("DataSource").partition(" ")[0]
    return name, instance, others


@needs(partial(booted_with, seeded=True))
def test_a_seed_on_a_disk_is_the_datasource_that_was_foretold(booted: Booted) -> None:
    foretold = booted.report["predicted"]
    name, instance, others = happened(booted)
    assert (foretold.datasource, foretold.instance, foretold.disabled_by) == (name, instance, "")
    assert (name, instance) == ("NoCloud", "i-proof")
    assert others[:2] == [foretold.hostname, "by-cloud-init"]


@needs(partial(booted_with, seeded=False))
def test_without_any_data_it_does_not_run_as_foretold(booted: Booted) -> None:
    foretold = booted.report["predicted"]
    name, instance, others = happened(booted)
    assert (foretold.datasource, foretold.instance) == (name, None)
    assert (foretold.runs_without_one, instance) == (False, "")
    assert others[:2] == [HOSTNAME, ""]
