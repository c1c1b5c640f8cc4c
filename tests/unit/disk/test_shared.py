"""Where two states of an image may differ, told by tables alone: never less than where they do."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guestrepair.disk import examine
from guestrepair.disk.device import open_image
from guestrepair.disk.earlier import at_snapshot, chosen_snapshot
from guestrepair.disk.headers import Source, qcow2, qcow2_clusters
from guestrepair.disk.image import Image
from guestrepair.disk.shared import Parts, State, may_differ
from guestrepair.errors import FormatError

CLUSTER = 64 << 10
SIZE = 4 << 20


def qemu(*arguments: str | Path) -> None:
    subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL)


def written(path: Path, *places: tuple[int, int]) -> None:
    """Write a byte over each of these clusters."""
    for at, byte in places:
        qemu("qemu-io", "-f", "qcow2", "-c", f"write -P {byte} {at * CLUSTER} 64k", path)


def overlay(below: Path, path: Path, *options: str, size: int | None = None) -> Path:
    kind = "raw" if below.suffix == ".raw" else "qcow2"
    sized = () if size is None else (str(size),)
    qemu("qemu-img", "create", "-q", "-f", "qcow2", *options, "-b", below, "-F", kind, path, *sized)
    return path


@pytest.fixture
def base(tmp_path: Path) -> Path:
    below = tmp_path / "base.raw"
    below.write_bytes(b"\1" * SIZE)
    return below


def states(image: Image, snapshot: str = "") -> list[State]:
    found = [State(layer) for layer in image.layers]
    if snapshot:
        chosen = chosen_snapshot(image, snapshot)
        assert chosen is not None
        found[0] = State(image.top, (chosen.identifier, chosen.name))
    return found


def clusters(parts: Parts | None) -> set[int] | None:
    if parts is None:
        return None
    return {n for n in range(SIZE // CLUSTER) if parts.meet(n * CLUSTER, CLUSTER)}


def differing(one: Image, other: Image) -> set[int]:
    """Those that do differ, by their bytes."""
    with open_image(one) as a, open_image(other) as b:
        places = range(SIZE // CLUSTER)
        return {n for n in places if a.read(n * CLUSTER, CLUSTER) != b.read(n * CLUSTER, CLUSTER)}


@pytest.mark.parametrize("options", [(), ("-o", "extended_l2=on,cluster_size=128k")])
def test_two_overlays_of_one_image(base: Path, tmp_path: Path, options: Sequence[str]) -> None:
    one, other = (overlay(base, tmp_path / f"{name}.qcow2", *options) for name in "ab")
    a, b, below = map(examine, (one, other, base))
    assert clusters(may_differ(states(a), states(b))) == set()
    written(one, (3, 7))
    written(other, (3, 7), (10, 9), (11, 9))
    for pair in ((a, b), (a, below), (below, b)):
        told = clusters(may_differ(*map(states, pair)))
        assert told is not None
        assert differing(*pair) <= told
        assert told <= {2, 3, 10, 11}  # of a wider cluster, all counts


def test_an_image_and_its_snapshots(base: Path, tmp_path: Path) -> None:
    path = overlay(base, tmp_path / "image.qcow2")
    written(path, (1, 2), (5, 2))
    qemu("qemu-img", "snapshot", "-c", "first", path)
    written(path, (1, 3), (20, 3))
    qemu("qemu-img", "snapshot", "-c", "second", path)
    written(path, (30, 4))
    now = examine(path)
    assert clusters(may_differ(states(now, "first"), states(now))) == {1, 20, 30}
    assert clusters(may_differ(states(now), states(now, "second"))) == {30}
    assert clusters(may_differ(states(now, "first"), states(now, "second"))) == {1, 20}
    first = chosen_snapshot(now, "first")
    assert first is not None
    with at_snapshot(now, first) as then:
        assert differing(then, now) == {1, 20, 30}
    # Another state under an overlay: what the overlay does not hold is not told.
    above = examine(overlay(path, tmp_path / "above.qcow2"))
    assert clusters(may_differ(states(above), states(now, "first"))) == {1, 20, 30}


def test_what_is_not_known(base: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.raw"
    copy.write_bytes(base.read_bytes())
    assert may_differ(states(examine(base)), states(examine(copy))) is None
    # Behind the end of a shorter overlay, a longer one on it shows zeros, and not what lies below.
    short = overlay(base, tmp_path / "short.qcow2", size=SIZE // 2)
    longer = overlay(short, tmp_path / "longer.qcow2", size=SIZE)
    a, b = examine(base), examine(longer)
    assert differing(a, b)
    assert may_differ(states(a), states(b)) is None


def test_a_snapshot_is_known_by_number_and_name(base: Path, tmp_path: Path) -> None:
    path = overlay(base, tmp_path / "image.qcow2")
    qemu("qemu-img", "snapshot", "-c", "x", path)
    data = path.read_bytes()
    source = Source.of(data)
    header = qcow2.parse(source)
    assert qcow2_clusters.snapshot_map(header, source, "1", "x").tables
    for wanted in (("2", "x"), ("1", "y")):
        with pytest.raises(FormatError):
            qcow2_clusters.snapshot_map(header, source, *wanted)


@settings(max_examples=150, deadline=None)
@given(places=st.lists(st.tuples(st.integers(0, 1 << 19), st.integers(0, 255)), max_size=20))
def test_damaged_tables_are_values_or_format_errors(
    places: list[tuple[int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = bytearray(_made(tmp_path_factory))
    for at, byte in places:
        data[at % len(data)] = byte
    source = Source.of(bytes(data))
    try:
        header = qcow2.parse(source)
        now = qcow2_clusters.active_map(header, source)
        then = qcow2_clusters.snapshot_map(header, source, "1", "x")
        pieces = qcow2_clusters.other_clusters(header, source, now, then)
    except FormatError:
        return
    assert all(start < end for start, end in pieces)
    assert pieces == sorted(pieces)


_kept: list[bytes] = []


def _made(factory: pytest.TempPathFactory) -> bytes:
    if not _kept:
        path = factory.mktemp("made") / "image.qcow2"
        qemu("qemu-img", "create", "-q", "-f", "qcow2", path, str(SIZE))
        written(path, (1, 2))
        qemu("qemu-img", "snapshot", "-c", "x", path)
        written(path, (1, 3), (2, 3))
        _kept.append(path.read_bytes())
    return _kept[0]
