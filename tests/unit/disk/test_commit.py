"""A commit that fails for whatever reason leaves the image as it was."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from guestrepair.disk import Transaction, examine, interrupted, state_directory
from guestrepair.errors import RepairError


class UnforeseenError(Exception):
    """What nobody has thought of."""


class OddError(BaseException):
    """Neither an error nor an interruption."""


def fails(at: str, error: BaseException) -> tuple[list[str], Callable[[str], None]]:
    """A hook that raises when a step is first reached; and the steps that it saw."""
    seen: list[str] = []

    def hook(name: str) -> None:
        seen.append(name)
        if name == at and seen.count(at) == 1:
            raise error

    return seen, hook


@pytest.mark.parametrize("at", ["commit", "write 1", "settle"])
@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (MemoryError(), RepairError),
        (IndexError("list index out of range"), RepairError),
        (UnforeseenError("no idea"), RepairError),
        (OSError(5, "Input/output error"), RepairError),
        (KeyboardInterrupt(), KeyboardInterrupt),
        (SystemExit(3), SystemExit),
        (OddError(), OddError),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_whatever_ends_a_commit_the_image_is_as_it_was(
    at: str, error: BaseException, raised: type[BaseException], tmp_path: Path
) -> None:
    image, state = tmp_path / "disk.raw", state_directory(tmp_path / "state")
    image.write_bytes(b"\1" * (1 << 20))
    seen, hook = fails(at, error)
    with Transaction.begin(examine(image), state, steps=hook) as transaction:
        write = ["qemu-io", "-f", "qcow2", "-c", "write -P 7 64k 64k", "-c", "write -P 8 512k 64k"]
        subprocess.run([*write, str(transaction.overlay)], check=True, stdout=subprocess.DEVNULL)
        with pytest.raises(raised) as caught:
            transaction.commit()
    assert at in seen
    assert image.read_bytes() == b"\1" * (1 << 20)
    assert not interrupted(examine(image), state)
    if raised is RepairError:
        assert "the image is as it was" in str(caught.value)
