"""The one reader of YAML, as nodes for netplan and as values for cloud-init; PyYAML's own values judge."""

from __future__ import annotations

import time

import pytest
import yaml

from guestrepair.errors import FormatError
from guestrepair.formats.cloud_config import merged, parse_yaml
from guestrepair.formats.yaml_nodes import MAX_ALIASES, YamlError
from guestrepair.formats.yaml_nodes import parse_yaml as parse_nodes

SAME = (
    "a: b\n",
    "a: [1, -2, yes, No, ~, null, 'yes', \"5\"]\n",
    "a: |\n  text\n  more\nb: >\n  folded\n  text\n",
    "base: &b {x: 1, y: [1]}\nnew:\n  <<: *b\n  x: 2\n",
    "a: &a {x: 1}\nb: &b {x: 2, y: 3}\nc: {<<: [*a, *b], z: 4}\n",
    "a: &a [1, 2]\nb: *a\n",
    "a: 1\na: 2\n",
    "- a\n-\n- {}\n- []\n",
    "",
    "# only words\n",
    "name: Zo\u00eb\nlist: [\u00e9, \U0001f600]\n",
    "a: !!str yes\nb: !!str ~\n",
)
BROKEN = ("a: [\n", "a:\n\tb\n", "a: *x\n", "a: &x [*x]\n", "? [a]\n: b\n", "a: {<<: 5}\n", "a: \x01\n")


@pytest.mark.parametrize("text", SAME)
def test_values_are_what_a_yaml_library_makes_of_it(text: str) -> None:
    assert parse_yaml(text.encode()) == yaml.safe_load(text)


@pytest.mark.parametrize("text", BROKEN)
def test_what_a_yaml_library_refuses_is_refused(text: str) -> None:
    with pytest.raises(FormatError):
        parse_yaml(text.encode())


def test_offsets_count_bytes() -> None:
    text = "\u00e9: {\u00fc: [\u00e4, 'x\U0001f600'],\n  z: w}\nlast: \u00e9nd\n"
    data = text.encode()
    top = parse_nodes(data)
    assert top is not None
    found = [top]
    for node in found:
        found += [*node.items, *(each for pair in node.pairs for each in pair)]
        if node.kind == "scalar":
            assert data[node.start : node.end].decode().strip("'") == node.text
    assert sum(node.kind == "scalar" for node in found) == 8


def test_a_long_file_in_other_letters_takes_no_longer() -> None:
    started = time.monotonic()
    assert isinstance(parse_yaml(b"- \xc3\xa9\n" * 40_000), list)
    assert time.monotonic() - started < 4


def test_the_line_of_what_is_no_yaml() -> None:
    with pytest.raises(FormatError, match=r"^line 2: no YAML: "):
        parse_yaml(b"users:\n\t- default\n")
    with pytest.raises(YamlError):
        parse_nodes(b"a: \xff\n")


def test_many_names_for_one_cost_nothing() -> None:
    layers = ["l0: &l0 {x: 1, y: 2}"] + [
        f"l{n}: &l{n} {{{', '.join(f'k{i}: *l{n - 1}' for i in range(6))}}}" for n in range(1, 30)
    ]
    value = parse_yaml("\n".join(layers).encode())
    assert isinstance(value, dict)
    assert merged(value, dict(value)).keys() == value.keys()
    with pytest.raises(FormatError):
        parse_yaml(b"a: &a [1]\nb: [" + b"*a, " * (MAX_ALIASES + 1) + b"]\n")
