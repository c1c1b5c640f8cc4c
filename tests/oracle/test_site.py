"""The site of the documentation: mkdocs builds it without a warning, its pages ask nobody for anything."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import click
import pytest

from guestrepair.cli.main import main
from tests.support.docs import TOP


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=TOP,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr  # --quiet would have no warning count
    assert "WARNING" not in done.stdout + done.stderr
    return folder


class Loads(HTMLParser):
    """What a browser fetches for a page without being asked."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag in {"script", "img", "iframe", "source"}:
            self.addresses.append(values.get("src") or "")
        elif tag == "link" and values.get("rel") not in {"next", "prev", "canonical"}:
            self.addresses.append(values.get("href") or "")


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 50
    for page in pages:
        loads = Loads()
        loads.feed(page.read_text(encoding="utf-8"))
        assert any(loads.addresses)
        assert [a for a in loads.addresses if re.match(r"(?:https?:)?//", a)] == [], page
    for sheet in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(?:https?:)?//|@import", sheet.read_text(encoding="utf-8")), sheet


def test_every_command_has_a_page_with_all_of_its_options(site: Path) -> None:
    for name in main.list_commands(click.Context(main)):
        command = main.get_command(click.Context(main), name)
        assert command is not None
        text = (site / f"reference/commands/{name}.html").read_text(encoding="utf-8")
        for option in command.params:
            if isinstance(option, click.Option) and not option.hidden:
                assert max(option.opts, key=len) in text, f"{name}: {option.opts}"


def test_the_search_finds_rules_and_symptoms(site: Path) -> None:
    assert (site / "search/search_index.js").exists()  # for pages that are opened from a folder
    words = (site / "search/search_index.json").read_text(encoding="utf-8")
    found = json.loads(words)["docs"]
    assert any("Welcome to emergency mode" in page["title"] for page in found)
    assert any(page["title"] == "fstab/source-not-found" for page in found)
