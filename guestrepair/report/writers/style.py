"""The style sheet of the pages, and the frame that all of them have."""

from __future__ import annotations

from guestrepair import __version__
from guestrepair.report.writers.markup import Content, Markup, join, tag

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""Nothing is loaded, sent or run, whatever comes to be in the page."""

_STYLE = Markup("""
:root { color-scheme: light dark; --ground: #fff; --text: #1c2127; --soft: #5c6670; --line: #d5dae0;
  --panel: #f5f7f9; --error: #b3261e; --warning: #8a5300; --note: #35608f; --good: #1d6b3a;
  --added: #e2f4e6; --removed: #fbe6e4; --bar: #7a9cc6; --bar2: #b9cbe2; --free: #e6e9ed; }
@media (prefers-color-scheme: dark) { :root { --ground: #14181d; --text: #e3e7eb; --soft: #9aa5b1;
  --line: #363e47; --panel: #1d2329; --error: #ff8a80; --warning: #f0b35a; --note: #8fbcf0;
  --good: #7fd49b; --added: #173322; --removed: #3d1f1e; --bar: #44688f; --bar2: #2f4762; --free: #2a3138; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem; max-width: 70rem; background: var(--ground); color: var(--text);
  font: 15px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.35rem; margin: 0 0 .2rem; } h2 { font-size: 1.1rem; margin: 1.8rem 0 .5rem; }
h3 { font-size: 1rem; margin: 0; font-weight: 600; } p { margin: .35rem 0; }
header p, .soft, footer { color: var(--soft); } footer { margin-top: 2.5rem; font-size: .85rem; }
section.image { border-top: 3px solid var(--line); margin-top: 2.5rem; padding-top: 1rem; }
.verdict { border-left: 6px solid var(--soft); background: var(--panel); padding: .7rem 1rem; margin: 1rem 0;
  font-size: 1.05rem; } .verdict.bad { border-color: var(--error); }
.verdict.good { border-color: var(--good); }
.verdict.unclear { border-color: var(--warning); }
article { border: 1px solid var(--line); border-left: 4px solid var(--note); margin: .7rem 0;
  padding: .6rem .9rem; break-inside: avoid; }
article.error { border-left-color: var(--error); } article.warning { border-left-color: var(--warning); }
.mark { font-weight: 700; font-size: .78rem; text-transform: uppercase; letter-spacing: .04em; }
.error > h3 .mark, .stops { color: var(--error); } .warning > h3 .mark { color: var(--warning); }
.note > h3 .mark { color: var(--note); } td.when { white-space: nowrap; }
td.yes { color: var(--good); } td.no { color: var(--error); }
code, pre, td.code { font: .88em/1.45 ui-monospace, "DejaVu Sans Mono", monospace; }
pre { background: var(--panel); border: 1px solid var(--line); padding: .5rem .7rem; margin: .5rem 0;
  white-space: pre-wrap; } pre ins { background: var(--added); text-decoration: none; display: block; }
pre del { background: var(--removed); text-decoration: none; display: block; } pre span { display: block; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0; font-size: .92rem; }
th, td { text-align: left; vertical-align: top; padding: .25rem .6rem .25rem 0;
  border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 600; white-space: nowrap; }
th { overflow-wrap: normal; } ul { margin: .35rem 0; padding-left: 1.2rem; }
svg { width: 100%; height: auto; display: block; margin: .4rem 0; }
svg text { font: 11px system-ui, sans-serif; fill: var(--text); } svg .soft { fill: var(--soft); }
svg .part { fill: var(--bar); stroke: var(--ground); } svg .swap { fill: var(--bar2); }
svg .free { fill: var(--free); } svg .axis { stroke: var(--soft); } svg .change { fill: var(--error); }
svg .good { fill: var(--good); } svg .bad { fill: var(--warning); } svg .suspect { fill: var(--note); }
@media print { :root { color-scheme: light; --ground: #fff; --text: #000; --soft: #444; --line: #bbb;
  --panel: #f4f4f4; --error: #9c1c15; --warning: #7a4a00; --note: #274d75; --good: #14532b;
  --added: #e2f4e6; --removed: #fbe6e4; --bar: #9db6d6; --bar2: #cfdbea; --free: #eee; }
  body { padding: 0; max-width: none; font-size: 11px; } section.image { break-before: page; border: 0; }
  section.image:first-of-type { break-before: auto; } h2, h3 { break-after: avoid; } }
""")


def page(title: str, *content: Content) -> str:
    """A whole document, with a final newline."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", title),
        tag("style", _STYLE),
    )
    body = tag("body", *content, tag("footer", f"guestrepair {__version__}"))
    return join(Markup("<!DOCTYPE html>\n"), tag("html", head, body, lang="en"), Markup("\n"))


def table(headers: tuple[str, ...], rows: list[Markup]) -> Markup:
    """A table of rows that are made already."""
    head = tag("thead", tag("tr", *(tag("th", header) for header in headers))) if any(headers) else None
    return tag("table", head, tag("tbody", *rows))


def row(*cells: Content) -> Markup:
    """A row of plain cells."""
    return tag("tr", *(cell if _is_cell(cell) else tag("td", cell) for cell in cells))


def _is_cell(cell: Content) -> bool:
    return isinstance(cell, Markup) and cell.startswith("<td")


def diff(lines: str) -> Markup:
    """A unified diff, its lines marked as added and removed; ``lines`` is text, escaped here."""
    return tag("pre", *(tag(_KINDS.get(line[:1], "span"), line) for line in lines.splitlines()[2:]))


_KINDS = {"+": "ins", "-": "del"}
