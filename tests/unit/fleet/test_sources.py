"""What is named: arguments, directories, patterns, lists with nonsense in them, libvirt's machines."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guestrepair.errors import UsageError
from guestrepair.fleet.machines import machines
from guestrepair.fleet.sources import Source, gather, shown


def names(*arguments: str, text: bytes | None = None) -> list[Source]:
    return gather(arguments, ["-"] if text is not None else [], io.BytesIO(text or b""))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("a.qcow2", "b.RAW", "notes.txt", "c d.img"):
        (tmp_path / name).touch()
    (tmp_path / "sub.img").mkdir()
    return tmp_path


def test_a_directory_stands_for_its_images(folder: Path) -> None:
    assert [source.uri for source in names(".")] == ["./a.qcow2", "./b.RAW", "./c d.img"]


def test_a_pattern_stands_for_what_it_matches(folder: Path) -> None:
    assert [source.uri for source in names("*.qcow2", "[bc]*")] == ["a.qcow2", "b.RAW", "c d.img"]
    assert "nothing matches" in names("*.vdi")[0].problem


def test_a_name_that_is_a_file_is_no_pattern(folder: Path) -> None:
    (folder / "[x].img").touch()
    assert [source.uri for source in names("[x].img")] == ["[x].img"]


def test_the_same_image_counts_once(folder: Path) -> None:
    found = names(
        "a.qcow2", "./a.qcow2", f"{folder}/a.qcow2", f"{folder}/sub.img/../a.qcow2", text=b"a.qcow2\n"
    )
    assert [source.uri for source in found] == ["a.qcow2"]
    assert len(names("a.qcow2", text=b"a.qcow2 root=/dev/sda2\n")) == 2


def test_a_uri_is_passed_on_as_it_is() -> None:
    uri = "https://host//images//a.qcow2?x=%2F*"
    assert [source.uri for source in names(uri)] == [uri]


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("https://h/a.qcow2?X-Amz-Signature=secret", "https://h/a.qcow2?…"),
        (
            "https://h/a.tar?sig=secret!d.raw disk=https://h/b?sig=secret",
            "https://h/a.tar?… disk=https://h/b?…",
        ),
        ("'https://h/a b?sig=secret' root=/dev/sda1", "'https://h/a b?…' root=/dev/sda1"),
        ("ssh://me:secret@h/x", "ssh://me:…@h/x"),
        ("ssh://me@h:22/a@b", "ssh://me@h:22/a@b"),
        ("nbd+unix:///disk?socket=/run/nbd", "nbd+unix:///disk?socket=/run/nbd"),
        ("what?.img", "what?.img"),
    ],
)
def test_a_name_is_shown_without_its_secrets(name: str, seen: str) -> None:
    assert shown(name) == seen


def test_a_line_that_is_not_understood_tells_no_secret() -> None:
    (source,) = names(text=b"http://h/a?sig=secret http://h/b?sig=secret\n")
    assert "secret" not in source.problem


def test_a_line_says_what_belongs_to_an_image() -> None:
    (source,) = names(
        text=b"'a b.qcow2' disk=data.raw key=/dev/sda2:file:k all-disks donor=d.img root=/dev/sda3 # x\n"
    )
    assert source.uri == "a b.qcow2"
    assert source.options == (
        "--disk", "data.raw", "--key", "/dev/sda2:file:k", "--all-disks-attached", "--root", "/dev/sda3",
    )  # fmt: skip
    assert source.donors == ("d.img",)
    assert source.files == ("a b.qcow2", "data.raw")
    assert (
        source.name == "'a b.qcow2' disk=data.raw key=/dev/sda2:file:k all-disks root=/dev/sda3 donor=d.img"
    )


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"a.img colour=red", "'colour=red' is not understood; known are disk="),
        (b"a.img disk=", "is not understood"),
        (b"'a.img", "No closing quotation"),
        (b"a.img key=/dev/sda2:key:secret", "has to name a file"),
        (b"a.img key=nonsense", "has to name a file"),
        (b"a\0b", "zero byte"),
    ],
)
def test_a_line_that_is_not_understood_costs_the_others_nothing(line: bytes, words: str) -> None:
    found = names(text=b"# images\n\none.img\n" + line + b"\ntwo.img\n")
    assert [source.uri for source in found if not source.problem] == ["one.img", "two.img"]
    (wrong,) = (source.problem for source in found if source.problem)
    assert wrong.startswith("-:4: ")
    assert words in wrong


@given(st.binary(max_size=400))
def test_any_bytes_are_a_list_or_no_list(text: bytes) -> None:
    try:
        found = names(text=b"one.img\n" + text)
    except UsageError:
        return
    assert found[0].uri == "one.img"
    assert len({source.id for source in found}) == len(found)


def test_a_line_without_an_end_is_refused() -> None:
    with pytest.raises(UsageError, match="-:1: a line of more than"):
        names(text=b"x" * (1 << 17))


def test_nothing_named_is_told() -> None:
    with pytest.raises(UsageError, match="no image is named"):
        names(text=b"\n# nothing\n")
    with pytest.raises(UsageError, match="--from /nonexistent: No such file"):
        gather([], ["/nonexistent"], io.BytesIO())


def test_an_identity_does_not_depend_on_the_working_directory(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = names("a.qcow2")[0].id
    (folder / "deeper").mkdir()
    monkeypatch.chdir(folder / "deeper")
    assert names("../a.qcow2")[0].id == here == names(os.fspath(folder / "a.qcow2"))[0].id
    assert names("a.qcow2")[0].id != here


# --- libvirt --------------------------------------------------------------------------

DOMAIN = """<domain type='kvm'><name>{0}</name><os><type>hvm</type></os><devices>
<disk type='file' device='cdrom'><source file='/iso/x.iso'/><target dev='sda' bus='sata'/></disk>
<disk type='file' device='disk'><source file='/var/{0}-data.qcow2'/><target dev='vdb' bus='virtio'/></disk>
<disk type='block' device='disk'><source dev='/dev/vg/{0}'/><target dev='vda'/><boot order='1'/></disk>
<disk type='network' device='disk'><source protocol='rbd' name='pool/{0}'/><target dev='vdc'/></disk>
</devices></domain>"""


def test_libvirts_machines_are_groups_of_disks_and_running_ones_are_skipped(tmp_path: Path) -> None:
    running = tmp_path / "run"
    running.mkdir()
    for name in ("web", "db"):
        (tmp_path / f"{name}.xml").write_text(DOMAIN.format(name))
    (tmp_path / "broken.xml").write_text("<domain>")
    (tmp_path / "empty.xml").write_text("<domain><devices/></domain>")
    (running / "db.xml").touch()
    broken, db, empty, web = machines(tmp_path, running)
    assert broken.problem.startswith(str(tmp_path / "broken.xml"))
    assert (empty.disks, empty.problem) == ((), "")
    assert web.disks == ("/dev/vg/web", "/var/web-data.qcow2")
    assert (web.runs, db.runs) == ("", f"the machine runs ({running}/db.xml)")


def test_a_folder_of_machines_is_a_source(tmp_path: Path) -> None:
    (tmp_path / "web.xml").write_text(DOMAIN.format("web"))
    (tmp_path / "empty.xml").write_text("<domain><devices/></domain>")
    empty, web = names(f"libvirt:{tmp_path}")
    assert "no disk" in empty.problem
    assert web.files == ("/dev/vg/web", "/var/web-data.qcow2")
    assert "no machine is described there" in names(f"libvirt:{tmp_path}/nothing")[0].problem
