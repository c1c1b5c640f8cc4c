"""Links of the repository's pages, as the site has them."""

from __future__ import annotations

import posixpath
import re

_LINK = re.compile(r"\[([^\]\[]+)\]\(([^()\s]+)\)")
_FENCED = re.compile(r"(^ *```.*?^ *```$)", re.MULTILINE | re.DOTALL)
SITE = {
    "README.md": "index.md",
    "SECURITY.md": "explanation/threat-model.md",
    "CONTRIBUTING.md": "contributing/index.md",
    "CHANGELOG.md": "changelog.md",
    "docs/rules": "rules/index.md",
    "docs/schema": "reference/schemas.md",
    "docs": "index.md",
}
"""The site's page of a file or folder of the repository, where it is not the same file below docs/."""


def relinked(text: str, source: str, uri: str) -> str:
    """The page's text with each relative link as the site needs it; one without a page of the site is plain.

    Args:
        text: Markdown.
        source: the file that it comes from, from the top of the repository.
        uri: the page that it becomes, from the top of docs/.
    """
    pieces = _FENCED.split(text)
    pieces[::2] = (_LINK.sub(lambda m: _link(m, source, uri), piece) for piece in pieces[::2])
    return "".join(pieces)


def _link(match: re.Match[str], source: str, uri: str) -> str:
    words, target = match.groups()
    path, sign, anchor = target.partition("#")
    if not path or ":" in path:
        return match[0]
    file = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
    if file in SITE:
        page = SITE[file]
    elif file.startswith("docs/"):
        page = file.removeprefix("docs/")
    else:
        return words if words.startswith("`") else f"`{words}`"
    return f"[{words}]({posixpath.relpath(page, posixpath.dirname(uri) or '.')}{sign}{anchor})"
