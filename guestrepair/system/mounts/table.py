"""The mounts of a guest, each with the device that it means, and the table as it will read once corrected."""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.formats.fstab import Entry, reread
from guestrepair.formats.splice import Splice, spliced
from guestrepair.system.fact import fact
from guestrepair.system.mounts.correction import replace_source, right_source, standing
from guestrepair.system.mounts.facts import MountFacts
from guestrepair.system.mounts.meaning import Judged, judge
from guestrepair.system.mounts.subvolumes import wrong_subvolumes


class Mounts(MountFacts):
    """fstab, crypttab and enabled mount and swap units as one table of mounts."""

    @fact
    def judged(self) -> tuple[Judged, ...]:
        """Every mount and what its source means, the lines of fstab first."""
        return tuple(judge(self, self.specs))

    @fact
    def as_repaired(self) -> bytes | None:
        """The text of /etc/fstab with each line that can be read and each source that is known put right.

        None where there is no table, or nothing in it to put right.
        """
        if self.table is None:
            return None
        others = standing(self.judged)
        lines: dict[int, bytes] = {}
        for j in self.judged:
            entry = j.spec.entry
            changes = list(self._corrections(j, entry, right_source(self, j, others))) if entry else []
            if entry is not None and changes:
                lines[entry.number] = spliced(entry.line.raw, changes, start=entry.line.offset)
        text = bytes(reread(self.table, lines))
        return None if text == self.data else text

    @staticmethod
    def _corrections(j: Judged, entry: Entry, source: str | None) -> Iterator[Splice]:
        change = replace_source(j, source) if source is not None else None
        if change is not None:
            yield change
        wrong = {w.option: w.instead for w in wrong_subvolumes(j.meant, entry) if w.instead is not None}
        token = entry.options_token
        if wrong and token is not None and j.spec.required:
            options = ",".join(wrong.get(option, option) for option in entry.options)
            yield Splice(token.offset, len(token.raw), options.encode("utf-8", "surrogateescape"))
