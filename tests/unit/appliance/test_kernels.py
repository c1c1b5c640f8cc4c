"""How old the oldest kernel is that the appliance may run; nothing is known where it may be another one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from guestrepair.appliance.kernels import oldest_version


def make(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return root


def oldest(root: Path, environment: Mapping[str, str] | None = None) -> tuple[int, int] | None:
    return oldest_version(root, environment or {})


DEBIAN = ("boot/vmlinuz-6.1.0-57-cloud-amd64", "lib/modules/6.1.0-57-cloud-amd64/modules.dep")
FEDORA = ("lib/modules/6.17.4-300.fc43.x86_64/vmlinuz", "lib/modules/6.17.4-300.fc43.x86_64/modules.dep")


@pytest.mark.parametrize(
    ("paths", "version"),
    [
        (DEBIAN, (6, 1)),
        (FEDORA, (6, 17)),
        (("boot/vmlinuz-linux", "lib/modules/6.16.5-arch1-1/modules.dep"), (6, 16)),
        ((*DEBIAN, *FEDORA), (6, 1)),
        ((*FEDORA, "lib/modules/5.4.0-9-generic/vmlinuz"), (5, 4)),  # its modules are not there
        ((*FEDORA, "lib/modules/5.10.0-9-amd64/modules.dep"), (5, 10)),  # a kernel of any name
        ((*FEDORA, "lib/modules/my-own/modules.dep"), None),
        (DEBIAN[:1], None),
        (DEBIAN[1:], None),
        ((*DEBIAN, "usr/lib/x86_64-linux-gnu/guestfs/README.fixed"), None),
        ((), None),
    ],
)
def test_all_that_supermin_may_take_counts(
    tmp_path: Path, paths: tuple[str, ...], version: tuple[int, int] | None
) -> None:
    assert oldest(make(tmp_path, *paths)) == version


@pytest.mark.parametrize("name", ["LIBGUESTFS_PATH", "SUPERMIN_KERNEL", "SUPERMIN_MODULES"])
def test_what_the_environment_names_may_be_of_any_version(tmp_path: Path, name: str) -> None:
    root = make(tmp_path, *DEBIAN)
    assert oldest(root, {name: ""}) == (6, 1)
    assert oldest(root, {name: "/somewhere"}) is None
