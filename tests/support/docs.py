"""The documentation's pages: their blocks of commands, their sessions with what they print, their links.

A session is a fenced block with lines that begin with ``$ ``; what stands below such a line is what it
prints. A page with sessions says in a comment which files they start from:
``<!-- sessions: broken.qcow2=demo healthy.qcow2=debian-server -->``; a file is a recipe of fixtures/,
with ``+FAULT`` for each fault. All sessions of a page run in one directory, one after another.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).parents[2]
PAGES = sorted(
    [*TOP.glob("docs/**/*.md"), *(TOP / name for name in ("README.md", "SECURITY.md", "CONTRIBUTING.md"))]
)
SHELL = frozenset({"", "console", "sh", "bash"})
"""Languages of blocks that hold commands; those of build servers are in tests/support/pipelines.py."""

_FENCE = re.compile(r"^( *)```([\w-]*)[^\n]*\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_SESSIONS = re.compile(r"^<!-- sessions: ([^\n]*) -->$", re.MULTILINE)
_SPAN = re.compile(r"(?<!`)`([^`\n]+(?:\n[^`\n]+)?)`(?!`)")
_HERE = re.compile(r"<<'?(\w+)'?")
_SEPARATORS = frozenset({"|", "||", "&&", ";", "&"})


@dataclass(frozen=True)
class Step:
    """A command of a session, what is to be seen after it, and where it stands."""

    command: str
    printed: tuple[str, ...]
    line: int


@dataclass(frozen=True)
class Block:
    """A fenced block."""

    page: Path
    language: str
    text: str
    line: int

    @property
    def is_session(self) -> bool:
        """It shows what its commands print."""
        return self.language in SHELL and any(line.startswith("$ ") for line in self.text.splitlines())

    def steps(self) -> list[Step]:
        """The commands of a session, in order."""
        found: list[tuple[list[str], list[str], int]] = []
        lines = iter(enumerate(self.text.splitlines(), self.line + 1))
        for number, line in lines:
            if line.startswith("$ "):
                command = [line[2:]]
                end = _HERE.search(line)
                while command[-1].endswith("\\") or (end and command[-1] != end[1]):
                    command.append(next(lines)[1])
                found.append((command, [], number))
            else:
                found[-1][1].append(line)
        return [Step("\n".join(command), tuple(printed), at) for command, printed, at in found]


def named(page: Path) -> str:
    """A page's name in a test."""
    return str(page.relative_to(TOP))


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of the page."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            page,
            match[2],
            re.sub(rf"^{match[1]}", "", match[3], flags=re.MULTILINE),
            text.count("\n", 0, match.start()) + 1,
        )
        for match in _FENCE.finditer(text)
    ]


def starting_files(page: Path) -> dict[str, tuple[str, ...]] | None:
    """What the page's sessions start from: a file's name to a recipe and faults. None: it does not say."""
    said = _SESSIONS.search(page.read_text(encoding="utf-8"))
    if said is None:
        return None
    pairs = (word.partition("=") for word in said[1].split())
    return {name: tuple(recipe.split("+")) for name, _, recipe in pairs}


def prose(page: Path) -> str:
    """The page without its fenced blocks, which leave as many empty lines."""
    return _FENCE.sub(lambda m: "\n" * m[0].count("\n"), page.read_text(encoding="utf-8"))


def shell_lines(page: Path) -> Iterator[tuple[int, str]]:
    """Every line for a shell: those of sessions, of blocks that only show commands, and spans in the text."""
    for block in blocks(page):
        if block.is_session:
            yield from ((step.line, step.command) for step in block.steps())
        elif block.language in SHELL:
            for number, line in enumerate(block.text.replace("\\\n", "\\ ").splitlines(), block.line + 1):
                yield number, line.replace("\\ ", " ")
    text = prose(page)
    for match in _SPAN.finditer(text):
        yield text.count("\n", 0, match.start()) + 1, match[1].replace("\n", " ")


def calls(line: str) -> Iterator[list[str]]:
    """The simple commands of a line, without redirections and what is set before them.

    Raises:
        ValueError: a quote is not closed.
    """
    first = line.partition("\n")[0] if "<<" in line else line.replace("\\\n", " ")
    lexer = shlex.shlex(first, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    words: list[str] = []
    skip = False
    for word in lexer:
        if word in _SEPARATORS:
            yield from _call(words)
            words = []
        elif skip:
            skip = False
        elif word and set(word) <= set("<>&"):
            skip = True
            if words and words[-1] == "2":
                words.pop()
        else:
            words.append(word)
    yield from _call(words)


def _call(words: list[str]) -> Iterator[list[str]]:
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    if words:
        yield words
