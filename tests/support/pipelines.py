"""The commands of docs/pipelines.md, of the GitHub action and of the GitLab template, as shells run them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

TOP = Path(__file__).parents[2]
DOCS = TOP / "docs/pipelines.md"
ACTION = TOP / "action.yml"
GITLAB = TOP / "templates/gitlab/guestrepair.yml"
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_GROOVY = re.compile(r"\bsh '''(.*?)'''|\bsh '([^'\n]*)'", re.DOTALL)
_INLINE = re.compile(r"\binline = \[(.*?)\]\n", re.DOTALL)
_HCL_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_COMMAND = re.compile(r"\bguestrepair ((?:inspect|validate|scan)\b[^\n|>]*)")
_INSTALLING = ("apt-get", "git clone", "tools/setup.sh", "./build-image.sh", "export PATH")


@dataclass(frozen=True)
class Snippet:
    """Some lines for a shell, and where they stand."""

    name: str
    shell: str
    text: str

    @property
    def installs(self) -> bool:
        """It sets a machine up, or is the reader's own: not for a test to run."""
        return any(word in self.text for word in _INSTALLING)

    @property
    def commands(self) -> list[str]:
        """The command lines of guestrepair in it."""
        return [match[1].strip() for match in _COMMAND.finditer(self.text)]


def blocks() -> list[tuple[str, str]]:
    """(language, text) of the fenced blocks of the page."""
    return [(match[1], match[2]) for match in _FENCE.finditer(DOCS.read_text())]


def snippets() -> list[Snippet]:
    """Every one of them."""
    found: list[Snippet] = []
    for number, (language, text) in enumerate(blocks()):
        name = f"{language}-{number}"
        found += [Snippet(f"{name}-{n}", *each) for n, each in enumerate(_of_block(language, text))]
    for path in (ACTION, GITLAB):
        shells = _of_yaml(yaml.safe_load(path.read_text()))
        found += [Snippet(f"{path.name}-{n}", *each) for n, each in enumerate(shells)]
    return found


def _of_block(language: str, text: str) -> Iterator[tuple[str, str]]:
    if language == "yaml":
        yield from _of_yaml(yaml.safe_load(text))
    elif language == "groovy":
        yield from (("sh", match[1] or match[2]) for match in _GROOVY.finditer(text))
    elif language == "hcl":
        for match in _INLINE.finditer(text):
            yield "sh", "\n".join(json.loads(each) for each in _HCL_STRING.findall(match[1]))
    else:
        yield "sh", text


def _of_yaml(value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inside in value.items():
            if key == "run" and isinstance(inside, str):
                yield "bash", inside
            elif key in {"script", "before_script", "after_script"}:
                yield "sh", "\n".join(inside)
            else:
                yield from _of_yaml(inside)
    elif isinstance(value, list):
        for inside in value:
            yield from _of_yaml(inside)
