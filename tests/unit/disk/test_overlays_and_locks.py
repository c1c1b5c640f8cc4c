"""Overlays spelled out to the last file, one repair at a time, and room on the host before it starts."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from pathlib import Path

import pytest

from guestrepair.disk import space
from guestrepair.disk.examine import examine
from guestrepair.disk.image import Format, Image, Layer
from guestrepair.disk.lock import exclusive
from guestrepair.disk.overlay import (
    chain_node,
    create_overlay,
    files_of,
    files_under,
    link_layers,
    link_reached,
    throwaway,
)
from guestrepair.disk.space import free_bytes, growth_bytes, require_free, watched
from guestrepair.errors import ImageAccessError, ImageError

MIB = 1 << 20


def raw(path: Path, size_bytes: int = MIB) -> Path:
    with path.open("wb") as out:
        out.truncate(size_bytes)
    return path


def layer(
    path: Path,
    kind: Format = Format.RAW,
    *,
    is_block_device: bool = False,
    data_file: Path | None = None,
    extents: tuple[tuple[str, Path], ...] = (),
) -> Layer:
    return Layer(path, kind, is_block_device, data_file, extents)


# --- overlays


@pytest.fixture
def chain(tmp_path: Path) -> Image:
    """A qcow2 over a raw disk whose name needs quoting."""
    raw(tmp_path / "base, file=x.img")
    command = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", "base, file=x.img"]
    subprocess.run([*command, tmp_path / "top.qcow2"], check=True)
    return examine(tmp_path / "top.qcow2")


def backing(overlay: Path) -> dict[str, object]:
    told = subprocess.run(
        ["qemu-img", "info", "-U", "--output=json", overlay],
        check=True,
        capture_output=True,
        cwd=overlay.parent,
    )
    found = json.loads(told.stdout)["backing-filename"]
    assert found.startswith("json:")
    return dict(json.loads(found.removeprefix("json:")))


def test_an_overlay_names_the_driver_and_the_file_of_each_layer(chain: Image, tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir()
    before = [file.read_bytes() for file in files_of(chain.layers)]
    overlay = create_overlay(private, chain)
    node = backing(overlay)
    assert node["driver"] == "qcow2"
    below = node["backing"]
    assert isinstance(below, dict)
    assert below["driver"] == "raw"
    assert "backing" not in below
    assert overlay.stat().st_mode & 0o777 == 0o600
    assert {os.path.realpath(private / str(n) / "i") for n in (0, 1)} == {
        str(layer.path) for layer in chain.layers
    }
    assert set(files_under(overlay)) == set(files_of(chain.layers))
    assert [file.read_bytes() for file in files_of(chain.layers)] == before


def test_a_throwaway_overlay_is_gone_afterwards_whatever_happens(chain: Image, tmp_path: Path) -> None:
    seen: list[Path] = []

    def fail() -> None:
        with throwaway(chain, directory=tmp_path) as overlay:
            seen.append(overlay.path)
            assert overlay.path.exists()
            assert (overlay.image, overlay.format) == (chain, "qcow2")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert not seen[0].parent.exists()


def test_a_chain_that_cannot_be_spelled_out_is_refused(tmp_path: Path) -> None:
    layers = tuple(layer(raw(tmp_path / f"{n}.img"), Format.QCOW2) for n in range(31))
    private = tmp_path / ("long" * 50)
    private.mkdir()
    image = Image(tmp_path / "0.img", Format.QCOW2, MIB, 0, is_block_device=False, layers=layers)
    with pytest.raises(ImageError, match="more than can be spelled out"):
        create_overlay(private, image)


def test_an_image_without_layers_is_none() -> None:
    with pytest.raises(ImageError, match="without layers"):
        chain_node((), ())


def test_links_that_cannot_be_made_are_said(tmp_path: Path) -> None:
    (tmp_path / "0").write_text("in the way")
    with pytest.raises(ImageAccessError) as error:
        link_layers(tmp_path, (layer(raw(tmp_path / "a.img")),))
    assert error.value.hint == "is there space left?"


def test_data_files_and_extents_lie_beside_their_layer(tmp_path: Path) -> None:
    for name in ("a.img", "data", "part-1"):
        raw(tmp_path / name)
    one = layer(tmp_path / "a.img", data_file=tmp_path / "data", extents=(("part-1", tmp_path / "part-1"),))
    private = tmp_path / "private"
    private.mkdir()
    for _ in range(2):  # the links of a former try are left as they are
        (home,) = link_layers(private, (one,))
    assert {link.name: link.resolve().name for link in home.iterdir()} == {
        "i": "a.img",
        "d": "data",
        "part-1": "part-1",
    }


def test_what_lies_under_an_overlay_is_reached_from_beside_another(chain: Image, tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir()
    overlay = create_overlay(private, chain)
    reached = link_reached(tmp_path / "0", overlay)
    assert reached[0] == overlay
    assert {link.resolve() for link in (tmp_path / "0").iterdir()} == {p.resolve() for p in reached}
    assert len(reached) == 3


# --- locks


def test_the_lock_goes_with_whoever_held_it(tmp_path: Path) -> None:
    image = raw(tmp_path / "disk.raw")
    with pytest.raises(RuntimeError), exclusive(image):
        raise RuntimeError
    with exclusive(image):
        pass


@pytest.mark.parametrize("name", ["none.raw", "none/disk.raw", "."])
def test_an_image_that_cannot_be_opened_is_said(tmp_path: Path, name: str) -> None:
    with pytest.raises(ImageError), exclusive(tmp_path / name):
        pass


# --- space


CLUSTER = space.CLUSTER_BYTES


@pytest.mark.parametrize(
    ("ranges", "clusters"),
    [
        ([], 0),
        ([(0, 1)], 1),
        ([(0, CLUSTER)], 1),
        ([(CLUSTER - 1, 2)], 2),
        ([(0, 10), (20, 10), (CLUSTER // 2, 5)], 1),
        ([(0, 1), (10 * CLUSTER, 3 * CLUSTER)], 4),
        ([(5 * CLUSTER + 7, CLUSTER)], 2),
    ],
)
def test_how_far_an_image_can_grow(tmp_path: Path, ranges: list[tuple[int, int]], clusters: int) -> None:
    path = raw(tmp_path / "a.img", 100 * CLUSTER)
    assert growth_bytes(layer(path), ranges) == clusters * CLUSTER
    assert growth_bytes(layer(path, Format.QCOW2), ranges) == clusters * CLUSTER + (4 << 20)
    assert growth_bytes(layer(path, is_block_device=True), ranges) == 0


def test_a_raw_image_grows_by_no_more_than_its_holes(tmp_path: Path) -> None:
    path = tmp_path / "full.img"
    path.write_bytes(b"x" * (4 * CLUSTER))
    os.sync()
    assert growth_bytes(layer(path), [(0, 4 * CLUSTER)]) == 0
    with path.open("r+b") as out:
        out.truncate(5 * CLUSTER)
    assert growth_bytes(layer(path), [(0, 5 * CLUSTER)]) <= CLUSTER


def test_room_is_asked_for_before_anything_starts(tmp_path: Path) -> None:
    require_free(tmp_path, 1, "undo data")
    with pytest.raises(ImageAccessError, match="MiB needed for undo data") as error:
        require_free(tmp_path, free_bytes(tmp_path) + (1 << 40), "undo data")
    assert "--state-dir DIR" in error.value.hint
    with pytest.raises(ImageAccessError, match="No such file"):
        require_free(tmp_path / "none", 1, "undo data")


def test_space_that_runs_out_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space, "POLL_SECONDS", 0.01)
    told: list[bool] = []
    with watched(tmp_path, lambda: told.append(True)):
        pass
    assert told == []
    monkeypatch.setattr(space, "RESERVE_BYTES", 1 << 60)
    low = threading.Event()

    def on_low() -> None:
        told.append(True)
        low.set()

    with watched(tmp_path, on_low):
        assert low.wait(30)
        threading.Event().wait(0.1)
    assert told == [True]
