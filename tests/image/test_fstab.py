"""fstab on real guests: several faults a launch, repaired, and judged by the text and by findmnt(8)."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import fixtures
from fixtures.debian.server import ESP_UUID, FSTAB, ROOT_UUID, SWAP_UUID
from tests.support.program import report_of

pytestmark = pytest.mark.image

GONE = "deadbeef-dead-4ead-8ead-deadbeefdead"


def test_every_line_broken_in_its_own_way(tmp_path: Path) -> None:
    """Wrong UUIDs, blkid's output, garbage and a copy: only the wrong bytes change."""
    image = tmp_path / "broken.qcow2"
    fixtures.copy_of("debian-server", image)
    esp = next(line for line in FSTAB.splitlines() if ESP_UUID in line)
    swap = next(line for line in FSTAB.splitlines() if SWAP_UUID in line)
    broken = FSTAB.replace(ROOT_UUID, GONE).replace(ESP_UUID, "ABCD-0000")
    broken = broken.replace(f"UUID={SWAP_UUID}", f'UUID="{SWAP_UUID}" TYPE="swap"')
    broken += f"garbage here\n{esp}\n"
    expected = FSTAB.replace(swap, swap.replace(SWAP_UUID, f'"{SWAP_UUID}"'))
    # The copy names the ESP rightly, so it is the first line for it that goes.
    expected = expected.replace(esp, "#guestrepair: " + esp.replace(ESP_UUID, "ABCD-0000"))
    expected += f"#guestrepair: garbage here\n{esp}\n"
    with fixtures.edit(image) as g:
        g.write("/etc/fstab", broken.encode())
    status, report = report_of("repair", image, "--only", "fstab", "--yes")
    assert status == 0, report
    assert {f["status"] for f in report["images"][0]["findings"]} <= {"repaired"}
    with fixtures.edit(image) as g:
        after = g.read_file("/etc/fstab").decode()
    assert after == expected
    table = tmp_path / "fstab"
    table.write_text(after)
    # The host has other disks: only what findmnt says of the text itself counts.
    judged = subprocess.run(
        ["findmnt", "--verify", "--tab-file", str(table)], capture_output=True, text=True, check=False
    )
    assert "0 parse errors" in judged.stdout + judged.stderr
    assert report_of("scan", image, "--only", "fstab", "--fail-on", "warning")[0] == 0


def test_exchanged_lines_device_names_and_encoding(tmp_path: Path) -> None:
    image = tmp_path / "broken.qcow2"
    fixtures.copy_of("debian-server", image)
    broken = FSTAB.replace(f"UUID={ROOT_UUID}", "/dev/vda3")
    broken = broken.replace(ESP_UUID, "@").replace(SWAP_UUID, ESP_UUID).replace("@", SWAP_UUID)
    with fixtures.edit(image) as g:
        g.write("/etc/fstab", b"\xef\xbb\xbf" + broken.replace("\n", "\r\n").encode())
    status, report = report_of("repair", image, "--only", "fstab", "--yes")
    assert status == 0, report
    with fixtures.edit(image) as g:
        assert g.read_file("/etc/fstab").decode() == FSTAB
