"""Facts that are lists of named things with fields, compared as such."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from guestrepair.compare.model import Difference, Kind, Section

Fields = Mapping[str, str]
Table = Mapping[str, Fields]


def differing(
    section: Section, before: Table, after: Table, explains: Mapping[str, Iterable[str]] | None = None
) -> Iterator[Difference]:
    """A difference for each name that only one has, or whose fields differ; then those alone are shown.

    ``explains`` are the files that a name's difference is all there is to say of.
    """
    for name in sorted({*before, *after}):
        a, b = before.get(name), after.get(name)
        if a == b:
            continue
        kind = Kind.ADDED if a is None else Kind.REMOVED if b is None else Kind.CHANGED
        fields = [f for f in {**(a or {}), **(b or {})} if (a or {}).get(f, "") != (b or {}).get(f, "")]
        if not fields and a is not None and b is not None:
            continue
        yield Difference(
            section=section,
            kind=kind,
            name=name,
            before="" if a is None else _shown(a, fields),
            after="" if b is None else _shown(b, fields),
            explains=frozenset((explains or {}).get(name, ())),
        )


def _shown(values: Fields, fields: Iterable[str]) -> str:
    return ", ".join(f"{field} {values[field]}" for field in fields if values.get(field)) or "-"


def numbered(rows: Iterable[tuple[str, Fields]]) -> dict[str, Fields]:
    """The rows by name; a name that comes again gets its number, so that none is lost."""
    found: dict[str, Fields] = {}
    seen: dict[str, int] = {}
    for name, fields in rows:
        seen[name] = seen.get(name, 0) + 1
        found[name if seen[name] == 1 else f"{name} ({seen[name]})"] = fields
    return found
