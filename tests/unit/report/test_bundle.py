"""A bundle is a matter of its content alone, unpacks to what was put in, and nowhere else."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import tarfile
from pathlib import Path, PurePosixPath

import pytest

from guestrepair.report.bundle import SUMS, member_name, write_bundle

HOSTILE = (
    "/../../etc/passwd",
    "/..",
    "/.",
    "/etc/./x",
    "/etc/a b",
    "/etc/new\nline",
    "/etc/\x1b[31mred",
    "/etc/\udcff\udc80",
    "/etc/$(reboot)",
    "/etc/-rf",
    "/etc/*",
    "/etc/caf\u00e9",
    "/etc/%2E%2E",
    "/etc/a\\b",
    "/" + "x" * 255,
    "/" + "\n" * 255,
    "/" + "/".join(["directory" * 20] * 20),
    "/",
)


@pytest.mark.parametrize("path", HOSTILE)
def test_a_hostile_name_is_a_plain_relative_one(path: str) -> None:
    name = member_name("files", path)
    assert name.isascii()
    assert name.isprintable()
    assert not set(name) & set(" \\*?$()[]\"'")
    assert not PurePosixPath(name).is_absolute()
    parts = name.split("/")
    assert parts[0] in {"files", "files%"}
    assert not {"", ".", ".."} & set(parts)
    assert all(len(part) <= 255 for part in parts)


def test_no_two_paths_have_one_name() -> None:
    paths = {*HOSTILE, "/etc/a%20b", "/etc/%", "/etc/%25", "/etc/..%2F", "/etc/x", "/ETC/x"}
    # "/etc/./x" is "/etc/x" for a kernel, and never asked for as such
    assert len({member_name("files", path) for path in paths}) == len(paths)


def test_a_plain_name_stays() -> None:
    assert member_name("files", "/etc/ssh/sshd_config.d/50-x.conf") == "files/etc/ssh/sshd_config.d/50-x.conf"
    assert member_name("files", "/usr/lib/libstdc++.so.6") == "files/usr/lib/libstdc++.so.6"


def bundle(members: dict[str, bytes | Path]) -> bytes:
    out = io.BytesIO()
    digest = write_bundle(members, out)
    assert digest == hashlib.sha256(out.getvalue()).hexdigest()
    return out.getvalue()


def test_neither_order_nor_time_nor_owner_is_in_it(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"content")
    other.write_bytes(b"content")
    other.chmod(0o777)
    os.utime(other, (1, 1))
    first = bundle({"a.json": b"{}", "files/etc/x": one})
    assert first == bundle({"files/etc/x": other, "a.json": b"{}"})
    assert first != bundle({"files/etc/x": other, "a.json": b"[]"})


def test_it_unpacks_to_what_was_put_in_and_its_digests_verify(tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(os.urandom(300_000))
    paths = [path for path in HOSTILE if path != "/.."]  # no file is a directory, too
    contents = {member_name("files", path): path.encode(errors="surrogateescape") for path in paths}
    packed = bundle({**contents, "report.json": b"{}", "files/large": large, "empty": b""})
    (tmp_path / "x.tar").write_bytes(packed)
    place = tmp_path / "deep" / "place"
    place.mkdir(parents=True)
    subprocess.run(["tar", "-xf", tmp_path / "x.tar", "-C", place], check=True)
    done = subprocess.run(
        ["sha256sum", "-c", "--strict", SUMS], cwd=place, check=True, capture_output=True, text=True
    )
    assert done.stdout.count(": OK") == len(contents) + 3
    assert {path.name for path in tmp_path.iterdir()} == {"large", "x.tar", "deep"}
    for name, content in contents.items():
        assert (place / name).read_bytes() == content
        assert (place / name).stat().st_mode & 0o777 == 0o600


def test_the_digests_are_the_last_member_and_all_are_files_of_nobody() -> None:
    with tarfile.open(fileobj=io.BytesIO(bundle({"a": b"1", "Z": b"2"}))) as tar:
        members = tar.getmembers()
    assert [m.name for m in members] == ["Z", "a", SUMS]
    assert {(m.uid, m.gid, m.uname, m.gname, m.mtime, m.type) for m in members} == {(0, 0, "", "", 0, b"0")}
