"""More packages than a process may have files open."""

from __future__ import annotations

from pathlib import Path

from guestrepair.packages.sources.package_file import identify
from tests.unit.packages.test_package_file import workdir

__all__ = ["workdir"]  # fixtures


def test_more_packages_are_looked_at_than_can_be_open_at_a_time(tmp_path: Path, workdir: Path) -> None:
    paths = [tmp_path / f"{number}.deb" for number in range(1200)]
    for path in paths:
        path.write_text("no package")
    assert [found.path for found in identify(paths, workdir)] == paths
