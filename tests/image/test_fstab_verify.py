"""findmnt(8) of the guest itself judges fstab as each fault's repair leaves it: many faults, one launch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import fixtures
from fixtures.debian.server import ESP_UUID, FSTAB, ROOT_UUID, SWAP_UUID
from guestrepair.analyzers.base import AnalysisOptions, Context, run_analyzer
from guestrepair.analyzers.fstab import ANALYZER
from guestrepair.disk import examine
from guestrepair.model import EditFile, Finding, GuestPath, Safety, WriteFile
from guestrepair.operations import opening
from guestrepair.operations.options import ImageOptions, UserInterface
from guestrepair.session.live import LiveGuest

pytestmark = pytest.mark.image

PATH = GuestPath("/etc/fstab")
GONE = "deadbeef-dead-4ead-8ead-deadbeefdead"
ESP_LINE = next(line for line in FSTAB.splitlines() if ESP_UUID in line)
ROOT_LINE = next(line for line in FSTAB.splitlines() if ROOT_UUID in line)
SWAP_LINE = next(line for line in FSTAB.splitlines() if SWAP_UUID in line)
HEALTHY = FSTAB.encode()

EXACT = {
    "wrong UUID of /": FSTAB.replace(ROOT_UUID, GONE),
    "wrong UUID of the ESP": FSTAB.replace(ESP_UUID, "ABCD-1234"),
    "wrong UUID of swap": FSTAB.replace(SWAP_UUID, GONE),
    "all three": FSTAB.replace(ROOT_UUID, GONE).replace(ESP_UUID, "ABCD-1234").replace(SWAP_UUID, GONE[::-1]),
    "capitals": FSTAB.replace(ROOT_UUID, ROOT_UUID.upper()),
    "small letters on FAT": FSTAB.replace(ESP_UUID, ESP_UUID.lower()),
    "a digit wrong": FSTAB.replace(ROOT_UUID, f"{ROOT_UUID[:-1]}0" if ROOT_UUID[-1] != "0" else GONE),
    "exchanged": FSTAB.replace(ESP_UUID, "@").replace(SWAP_UUID, ESP_UUID).replace("@", SWAP_UUID),
    "kernel's name": FSTAB.replace(f"UUID={ROOT_UUID}", "/dev/nvme0n1p3"),
    "no tag": FSTAB.replace(f"UUID={SWAP_UUID}", SWAP_UUID),
    "a blank after the tag": FSTAB.replace(f"UUID={SWAP_UUID}", f"UUID= {SWAP_UUID}"),
    "wrong type": FSTAB.replace(ESP_LINE, ESP_LINE.replace(" vfat ", " xfs ")),
    "misspelt type": FSTAB.replace(ROOT_LINE, ROOT_LINE.replace("ext4", "etx4")),
    "refused option": FSTAB.replace(ESP_LINE, ESP_LINE.replace("umask=", "subvol=@,umask=")),
    "DOS line ends": FSTAB.replace("\n", "\r\n"),
    "byte-order mark": f"\ufeff{FSTAB}",
    "no-break blank": FSTAB.replace(f"UUID={SWAP_UUID} ", f"UUID={SWAP_UUID}\u00a0"),
    "no last newline": FSTAB.rstrip("\n"),
    "NUL at the end": FSTAB + "\0" * 40,
}
"""Faults whose repair gives back the healthy text, byte for byte."""

OTHER = {
    "garbage": f"{FSTAB}garbage here\n",
    "blkid pasted": FSTAB.replace(f"UUID={SWAP_UUID}", f'UUID="{SWAP_UUID}" TYPE="swap"'),
    "a copy": f"{FSTAB}{ESP_LINE}\n",
    "options left out": FSTAB.replace(ESP_LINE, f"UUID={ESP_UUID} /boot/efi vfat 0 1"),
    "two fields": FSTAB.replace(ESP_LINE, f"UUID={ESP_UUID} /boot/efi"),
    "no line for /": FSTAB.replace(f"{ROOT_LINE}\n", ""),
    "swap file gone": f"{FSTAB}/swapfile none swap sw 0 0\n",
}
"""Faults whose repair adds to a line, or takes one out."""

ABSENT = {
    "disk that is not there": f"{FSTAB}UUID={GONE} /srv ext4 defaults 0 2\n",
    "device that is not there": f"{FSTAB}/dev/sdq1 /srv ext4 defaults 0 2\n",
}


@dataclass(frozen=True)
class Bench:
    """The server mounted for writing in a throw-away overlay."""

    guest: LiveGuest
    handle: Any

    def findings(self, text: bytes) -> list[Finding]:
        """What the analyzer finds in the guest with this table, every disk of it being here."""
        self.handle.write(str(PATH), text)
        self.guest.forget()
        context = Context(self.guest, options=AnalysisOptions(all_disks_attached=True))
        found, inconclusive = run_analyzer(ANALYZER, context)
        assert not inconclusive
        return [f for f in found if f.severity != "note"]

    def verify(self) -> str:
        """What findmnt says, run in the guest; its exit status comes last."""
        return str(self.handle.sh("findmnt --verify 2>&1; echo status=$?"))


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    image = examine(fixtures.build("debian-server"))
    with opening.read_only_session([image], ImageOptions(), UserInterface()) as session:
        (root,) = session.roots()
        mounts = session.guest(root).mounts
        with session.writing(root, [PATH]) as guest:
            guest.mounts = mounts
            handle: Any = session.handle
            handle.modprobe("vfat")  # findmnt knows of the kernel's types those that are loaded
            yield Bench(guest, handle)


def repaired(text: bytes, findings: list[Finding]) -> bytes:
    """The text after all safe repairs."""
    edits = []
    for finding in findings:
        assert finding.repair is not None, finding
        assert finding.repair.safety is Safety.SAFE, finding
        for change in finding.repair.changes:
            if isinstance(change, WriteFile):
                return change.after
            assert isinstance(change, EditFile), change
            edits += list(change.edits)
    for edit in sorted(edits, key=lambda e: (e.offset, e.length), reverse=True):
        text = text[: edit.offset] + edit.text + text[edit.offset + edit.length :]
    return text


def test_findmnt_takes_the_healthy_table(bench: Bench) -> None:
    assert bench.findings(HEALTHY) == []
    assert bench.verify().startswith("Success, no errors or warnings detected\nstatus=0")


@pytest.mark.parametrize("name", EXACT)
def test_faults_that_leave_no_trace(bench: Bench, name: str) -> None:
    found = bench.findings(EXACT[name].encode())
    assert found
    after = repaired(EXACT[name].encode(), found)
    assert after == HEALTHY
    assert bench.findings(after) == []
    assert bench.verify().startswith("Success, no errors or warnings detected\nstatus=0")


@pytest.mark.parametrize("name", [*OTHER, *ABSENT])
def test_faults_that_change_a_line(bench: Bench, name: str) -> None:
    broken = {**OTHER, **ABSENT}[name].encode()
    found = bench.findings(broken)
    assert found
    after = repaired(broken, found)
    assert bench.findings(after) == []
    said = bench.verify()
    if name in ABSENT:  # findmnt does not know nofail: it says, once, what the fault itself is
        assert said.count("[E]") == said.count("[E] unreachable"), said
        assert said.count("unreachable") == 1, said
        assert b",nofail," in after
    else:
        assert "[E]" not in said, said
        assert said.rstrip().endswith("status=0"), said
    assert "0 parse errors" in said or "Success" in said, said


def test_image_is_untouched_by_the_bench(tmp_path: Path) -> None:
    """The overlay was thrown away: a copy of the image has the healthy table."""
    image = fixtures.copy_of("debian-server", tmp_path / "copy.qcow2")
    with fixtures.edit(image) as handle:
        assert handle.read_file(str(PATH)) == HEALTHY
