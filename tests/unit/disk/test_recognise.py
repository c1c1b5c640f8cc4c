"""What is no disk image is said with the way to make one of it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from guestrepair.disk.examine import examine
from guestrepair.errors import ImageError


@pytest.mark.parametrize("begin", [b"EVF\x09\x0d\x0a\xff\x00\x01", b"EVF2\x0d\x0a\x81\x00\x02"])
def test_evidence_files_are_named_with_what_opens_them(tmp_path: Path, begin: bytes) -> None:
    evidence = tmp_path / "case.E01"
    evidence.write_bytes(begin + bytes(4096))
    with pytest.raises(ImageError, match="an EWF evidence file") as refused:
        examine(evidence)
    assert "ewfmount" in refused.value.hint
    assert examine(evidence, input_format="raw").format == "raw"


def test_a_real_evidence_file_is_one_of_them(tmp_path: Path) -> None:
    if shutil.which("ewfacquirestream") is None:
        pytest.skip("ewf-tools is not installed")
    command: list[str | Path] = ["ewfacquirestream", "-q", "-t", tmp_path / "case", "-c", "none"]
    subprocess.run(command, input=bytes(1 << 20), check=True, capture_output=True)
    with pytest.raises(ImageError, match="an EWF evidence file"):
        examine(tmp_path / "case.E01")
