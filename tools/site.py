"""mkdocs's hooks for the site: the navigation, the pages that are made at build time, and links out of docs/.

The navigation names what belongs where; a page that is not there is left out, and one that nobody has put
anywhere comes under "More", so that the site builds whatever docs/ holds.
Source: https://www.mkdocs.org/user-guide/configuration/#hooks
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from tools.site_links import relinked
from tools.site_pages import PLACES, generated

TOP = Path(__file__).parents[1]
Entry: TypeAlias = "str | tuple[str, str | Sequence[Entry]]"
"""A page's file; a title and a file or a pattern of files; a title and what is below it."""

NAVIGATION: list[Entry] = [
    ("Start", "index.md"),
    ("Tutorials", ["tutorials/night-repair.md", "tutorials/pipeline.md", "tutorials/investigation.md"]),
    (
        "How to",
        [
            ("How to, by symptom", "how-to/index.md"),
            "how-to/emergency-mode.md",
            "how-to/connection-closed.md",
            "how-to/rows-of-failed.md",
            "how-to/no-network.md",
            "how-to/grub-rescue.md",
            "how-to/kernel-panic.md",
            "how-to/permission-denied.md",
            "how-to/no-space-left.md",
            "how-to/encrypted-disk.md",
            "how-to/by-hand.md",
            "how-to/golden-image.md",
            "how-to/snapshot.md",
            "pipelines.md",
            "fleet.md",
            "elsewhere.md",
        ],
    ),
    (
        "Reference",
        [
            ("Commands", "reference/commands/*.md"),
            ("Rules", "rules/*.md"),
            "reference/exit-status.md",
            "reference/environment.md",
            "reference/platforms.md",
            "policy.md",
            "inventory.md",
            "reference/schemas.md",
            "library.md",
            "versions.md",
            "hosts.md",
        ],
    ),
    (
        "Explanation",
        [
            "explanation/safety.md",
            "explanation/inconclusive.md",
            "explanation/speed.md",
            "architecture.md",
            "explanation/threat-model.md",
        ],
    ),
    ("Contributing", "contributing/*.md"),
    "changelog.md",
]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is generated, and lay out the navigation over all that there is."""
    for uri, text in generated().items():
        files.append(File.generated(config, uri, content=text))
    there = sorted(f.src_uri for f in files.documentation_pages())
    left = dict.fromkeys(there)
    config.nav = list(_laid_out(NAVIGATION, left))
    if left:
        config.nav.append({"More": list(left)})
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Make links that lead out of docs/ lead to the site's page of the same, or be no links."""
    uri = page.file.src_uri
    return relinked(markdown, PLACES.get(uri, f"docs/{uri}"), uri)


def _laid_out(entries: Sequence[Entry], left: dict[str, None]) -> Iterator[str | dict[str, object]]:
    """mkdocs's own form of the entries that there are; they are taken out of ``left``."""
    for entry in entries:
        if isinstance(entry, str):
            if entry in left:
                del left[entry]
                yield entry
            continue
        title, below = entry
        if isinstance(below, str) and "*" not in below:
            for found in _laid_out([below], left):
                yield {title: found}
            continue
        inside = list(_laid_out(_matching(below, left) if isinstance(below, str) else below, left))
        if inside:
            yield {title: inside}


def _matching(pattern: str, left: dict[str, None]) -> list[Entry]:
    """The pages of one folder, its index first."""
    folder = pattern.removesuffix("*.md")
    found = [uri for uri in left if uri.startswith(folder) and "/" not in uri.removeprefix(folder)]
    return sorted(found, key=lambda uri: (uri != f"{folder}index.md", uri))
