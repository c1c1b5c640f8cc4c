"""The layers that the options of an overlay name."""

from __future__ import annotations

import pytest

from guestrepair.formats.fstab import split_options
from guestrepair.formats.overlay_options import Layers, layers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Layers((), (), "", "")),
        ("defaults,lowerdir=/a,upperdir=/b,workdir=/c", Layers(("/a",), (), "/b", "/c")),
        ("lowerdir=/a:/b:/c", Layers(("/a", "/b", "/c"), (), "", "")),
        (r"lowerdir=/a\:b:/c", Layers(("/a:b", "/c"), (), "", "")),
        (r"lowerdir=/a\\:/c", Layers(("/a\\", "/c"), (), "", "")),
        (r"lowerdir=/a\,b,upperdir=/c\,d\,e,workdir=/f", Layers(("/a,b",), (), "/c,d,e", "/f")),
        ("lowerdir=/a:/b::/d1::/d2", Layers(("/a", "/b"), ("/d1", "/d2"), "", "")),
        ("lowerdir+=/a,lowerdir+=/b,datadir+=/d", Layers(("/a", "/b"), ("/d",), "", "")),
        ("lowerdir=/x,lowerdir=/a,upperdir=/y,upperdir=/b", Layers(("/a",), (), "/b", "")),
        ("upperdir,workdir=", Layers((), (), "", "")),
        ("lowerdir=:/a", Layers(("/a",), (), "", "")),
        ("lowerdir=/a,ro\\", Layers(("/a",), (), "", "")),
    ],
)
def test_layers(text: str, expected: Layers) -> None:
    assert layers(split_options(text)) == expected


def test_hostile_options_take_linear_time() -> None:
    assert len(layers(["lowerdir=" + "/a:" * 100_000]).lower) == 100_000
    assert layers(["x\\"] * 20_000) == Layers((), (), "", "")
