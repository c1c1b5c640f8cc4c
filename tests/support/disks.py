"""Damage done to raw copies of disks from the host, by ordinary tools."""

from __future__ import annotations

import subprocess
from pathlib import Path

SECTOR = 512


def zero(image: Path, sector: int, count: int) -> None:
    """Overwrite whole sectors with zeros."""
    with image.open("r+b") as file:
        file.seek(sector * SECTOR)
        file.write(bytes(count * SECTOR))


def partition(image: Path, number: int) -> tuple[int, int]:
    """First sector and number of sectors of a partition, as sgdisk reads it."""
    out = subprocess.run(["sgdisk", f"-i{number}", image], check=True, capture_output=True, text=True).stdout
    fields = {
        k.strip(): v.split()[0] for k, _, v in (li.partition(":") for li in out.splitlines()) if v.strip()
    }
    return int(fields["First sector"]), int(fields["Partition size"])


def extract(image: Path, number: int, out: Path) -> Path:
    """A partition as a file of its own, sparse."""
    first, count = partition(image, number)
    dd = ["dd", f"if={image}", f"of={out}", "bs=512", f"skip={first}", f"count={count}", "conv=sparse"]
    subprocess.run([*dd, "status=none"], check=True)
    return out


def debugfs(image: Path, number: int, commands: str) -> None:
    """Run debugfs commands on an ext filesystem inside a disk image."""
    first, _ = partition(image, number)
    target = f"{image}?offset={first * SECTOR}"
    subprocess.run(
        ["debugfs", "-w", "-f", "-", target], input=commands, text=True, check=True, capture_output=True
    )


def sgdisk_is_content(image: Path) -> bool:
    """An independent judge of both copies of the GPT."""
    out = subprocess.run(["sgdisk", "-v", image], check=False, capture_output=True, text=True).stdout
    return "No problems found" in out
