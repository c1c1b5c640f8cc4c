"""The page of HTML: one file that does nothing, and no element or attribute of it is made of guest text."""

from __future__ import annotations

import html.parser
import re
import unicodedata

import pytest

from guestrepair.compare.model import Comparison, Difference, Kind, NotCompared, Section, Text
from guestrepair.model import Suppressed
from guestrepair.report.data import DiffReport, ImageReport, Report
from guestrepair.report.escape import printable
from guestrepair.report.writers import differences_page, page
from guestrepair.report.writers.markup import Markup, join, tag, text
from tests.unit.report.samples import HOSTILE, finding, full_image, hostile_image, many

VOID = {"meta", "rect", "line", "circle"}


class Page(html.parser.HTMLParser):
    """Reads a page: its tags in order, its attributes, its text; every tag is closed in order."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.names: set[tuple[str, str]] = set()
        self.values: list[tuple[str, str]] = []
        self.text: list[str] = []
        self.within: list[str] = []
        self.feed(source)
        self.close()
        assert not self.within

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.names |= {(tag, name) for name, _ in attrs}
        self.values += [(name, value or "") for name, value in attrs]
        self.within.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in VOID
        self.handle_starttag(tag, attrs)
        self.within.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.within.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)

    def unknown_decl(self, data: str) -> None:
        raise AssertionError(data)


def check_harmless(source: str) -> Page:
    read = Page(source)
    head = source.index(
        'http-equiv="Content-Security-Policy" content="default-src &#x27;none&#x27;; style-src'
    )
    assert head < 200  # before anything that it is to forbid
    assert not {"script", "link", "img", "iframe", "object", "form", "input", "base", "image"} & set(
        read.tags
    )
    assert not [
        name for _, name in read.names if name.startswith("on") or name in {"style", "src", "xlink:href"}
    ]
    assert all(value.startswith("#") for name, value in read.values if name == "href")
    style = source[source.index("<style>") : source.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert all(unicodedata.category(c) not in {"Cf", "Cs", "Co", "Cn"} for c in source)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", source)
    source.encode()
    return read


@pytest.mark.parametrize("words", [words for words in HOSTILE if words])
def test_no_element_is_made_of_guest_text(words: str) -> None:
    read = check_harmless(page.render(Report([hostile_image(words), hostile_image(words)])))
    plain = check_harmless(page.render(Report([hostile_image("plain"), hostile_image("plain")])))
    # A diff of several lines has more lines; nothing else differs.
    lines = {"span", "ins", "del"}
    assert [t for t in read.tags if t not in lines] == [t for t in plain.tags if t not in lines]
    assert read.names == plain.names
    assert printable(words)[:300] in "".join(read.text)  # and all of it can be read


def test_the_verdict_comes_first_and_everything_is_there() -> None:
    read = check_harmless(page.render(Report([full_image()])))
    said = "\n".join(read.text)
    order = (
        "Does not boot: UUID=1 is on no disk", "What stops boot", "Platforms", "does not fit",
        "Could not be examined (this is not the same as healthy)", "Findings", "UUID=right", "How it came",
        "strong: alice: vi /etc/fstab", "-ü UUID=wrong / ext4", "+ü UUID=right / ext4", "(repaired)",
        "Known findings", "known: the factory does that (until 2027-03-01)", "What happened when", "Disks",
        "/dev/sda3 ext4", "Inventory", "Debian GNU/Linux 12", "Mounted", "Not mounted",
    )  # fmt: skip
    places = [said.index(words) for words in order]
    assert places == sorted(places)
    assert read.tags.count("svg") == 2


def test_the_map_is_to_scale_within_its_bar() -> None:
    source = page.render(Report([full_image()]))
    parts = re.findall(r'<rect x="([\d.]+)" y="2" width="([\d.]+)"', source)
    ends = [(float(x), float(x) + float(width)) for x, width in parts]
    assert [round(start) for start, _ in ends[1:]] == [round(end) for _, end in ends[:-1]]
    assert round(ends[-1][1]) == 1000
    assert min(end - start for start, end in ends) >= 14
    assert max(end - start for start, end in ends) > 600


def test_what_was_not_examined_is_not_green() -> None:
    assert '<div class="verdict unclear">' in page.render(Report([ImageReport(path="d")]))
    assert '<div class="verdict good">' in page.render(Report([ImageReport(path="d", analyzed=True)]))


def test_what_is_known_still_stops_the_boot() -> None:
    image = ImageReport(path="d", analyzed=True, findings=[finding(suppressed=Suppressed("ignore", "known"))])
    source = page.render(Report([image]))
    assert '<div class="verdict bad">' in source
    assert "What stops boot" in source


def test_a_page_stays_small_and_says_what_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "_DETAIL_BYTES", 2_000)
    monkeypatch.setattr(page, "MAX_BYTES", 20_000)
    source = page.render(many(400))
    assert len(source) < 30_000
    shown = source.count("md5:") + source.count(" of libc6 2.36 is missing</td>")
    assert f"{400 - shown} more findings are left out" in source


def test_markup_is_made_by_nothing_but_tags() -> None:
    assert tag("b", "<i>", tag("i", "&"), title='"') == '<b title="&quot;">&lt;i&gt;<i>&amp;</i></b>'
    assert join(Markup("<x>") + "<y>") == "&lt;x&gt;&lt;y&gt;"  # put together by hand it is text again
    assert text("a\u202eb" * 9, most=10) == "a\\u202eba\\…"


@pytest.mark.parametrize("words", [words for words in HOSTILE if words])
def test_a_page_of_differences_is_as_harmless(words: str) -> None:
    def made(words: str) -> str:
        change = Text(b"a\n", words.encode(errors="replace"))
        found = [
            Difference(section=Section.FILES, kind=kind, name="/" + words.replace("\0", ""), before=words,
                       after=words, detail=words, text=change, folded=(words,))
            for kind in Kind
        ]  # fmt: skip
        comparison = Comparison(found, [NotCompared("A", words, words)], [words])
        return differences_page.render(DiffReport(words, words, comparison))

    read, plain = check_harmless(made(words)), check_harmless(made("plain"))
    lines = {"span", "ins", "del", "pre"}
    assert [t for t in read.tags if t not in lines] == [t for t in plain.tags if t not in lines]
    assert read.names == plain.names
    assert "Not compared" in read.text
