"""Which record belongs to which image: by path, by file and by content, and what may be done then.

A *near* record has the image's path or is of its very file (inode and generation; a device's serial
number). Its content is compared sector by sector (guestrepair.disk.content):

==== ==== ======= ======== ========= ========================================================
path file content sectors  phase     fit
==== ==== ======= ======== ========= ========================================================
any near  intact  as meant any       OURS; CHANGED when the size or format is another
any near  intact  all old  committed RESTORED: the repair is not there any more
same else intact  all old  half      RESTORED: a whole backup lies in its place
any near  intact  mixed    committed CHANGED
same same alike   any      any       CHANGED: booted or written to since
else same alike   any      any       CHANGED: that, and renamed
same same other   any      any       FOREIGN: another disk was copied over it
same else changed any      any       FOREIGN: another file, or another disk of this name
else same other   any      any       UNRELATED: an inode number that was given away again
else else intact  all new  committed OURS when nothing lies at the recorded path: it was moved
else else intact  mixed    half      OURS then, else COPY: a copy of a half-written image
else else intact  all new  half      OURS then
else else any     any      any       UNRELATED
==== ==== ======= ======== ========= ========================================================

*intact*: every sector written holds its old or its new content, and what lies around them is as it was.
*alike*: not all, but most of it. *other*: most of it is not. *changed*: either. *as meant*: all new when
committed; anything of old and new when half written. *file else*: another inode. Of a device without
a serial number nobody knows; it counts as the same while its content is alike.

Only OURS is written to. CHANGED is with ``undo --force``. Nothing else ever is.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Self

from guestrepair.disk.content import Content, Holds, compare
from guestrepair.disk.device import Device, open_image
from guestrepair.disk.image import Image
from guestrepair.disk.manifest import HALF_WRITTEN, IN_FORCE, Identity, Phase
from guestrepair.disk.record import Record
from guestrepair.disk.relation import Relation, relate
from guestrepair.disk.writable import check_present
from guestrepair.errors import StateError


class Fit(enum.Enum):
    """How a record fits an image."""

    OURS = "ours"
    RESTORED = "restored"
    CHANGED = "changed"
    FOREIGN = "foreign"
    COPY = "copy"
    UNRELATED = "unrelated"


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a record and an image. ``same_shape``: their size and format are the same."""

    relation: Relation
    half_written: bool
    same_shape: bool
    holds: Holds
    around: bool
    alike: bool | None

    @property
    def intact(self) -> bool:
        """Nothing else has written to what is looked at."""
        return self.around and self.holds is not Holds.OTHER


@dataclass(frozen=True, slots=True)
class Judged:
    """A record, how it fits an image, and what the image holds of it."""

    record: Record
    fit: Fit
    content: Content
    relation: Relation


def judge(facts: Facts) -> Fit:
    """The table above."""
    relation = facts.relation
    if not relation.near:
        return _moved(facts)
    replaced = relation.same_file is False
    if facts.intact:
        if facts.holds is Holds.OLD and (replaced or not facts.half_written):
            return Fit.RESTORED
        meant = facts.half_written or facts.holds is Holds.NEW
        return Fit.OURS if facts.same_shape and meant else Fit.CHANGED
    if replaced or facts.alike is False:
        return Fit.FOREIGN if relation.same_path else Fit.UNRELATED
    return Fit.CHANGED


def _moved(facts: Facts) -> Fit:
    """A record whose path and file are others: content alone has to say everything."""
    whole = facts.holds is Holds.NEW or (facts.half_written and facts.holds is Holds.MIXED)
    if not (facts.intact and facts.alike and facts.same_shape and whole):
        return Fit.UNRELATED
    if facts.relation.vacant:
        return Fit.OURS
    return Fit.COPY if facts.holds is Holds.MIXED else Fit.UNRELATED


class Judge:
    """Compares records with one image, which is opened when the first content is asked for."""

    def __init__(self, image: Image) -> None:
        self._image = image
        self._stack = ExitStack()
        self._device: Device | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

    def __call__(self, record: Record) -> Judged:
        """How the record fits.

        Raises:
            StateError: the record is damaged.
            ImageError: the image cannot be read.
        """
        relation = relate(record.manifest, self._image.top)
        if self._device is None:
            self._device = self._stack.enter_context(open_image(self._image))
        content = compare(record, self._device)
        check_present(self._image)
        facts = Facts(
            relation=relation,
            half_written=record.phase in HALF_WRITTEN,
            same_shape=same_shape(record, self._image),
            holds=content.holds,
            around=content.around,
            alike=content.alike,
        )
        return Judged(record, judge(facts), content, relation)

    def unless_damaged(self, record: Record) -> Judged | None:
        """How a record fits that may; None when it cannot, or is of another image and damaged.

        Raises:
            StateError: the record is this image's, and damaged.
            ImageError: the image cannot be read.
        """
        relation = relate(record.manifest, self._image.top)
        if not relation.near and not _may_have_moved(record, self._image, relation):
            return None
        try:
            return self(record)
        except StateError:
            if relation.near:
                raise
            return None


def _may_have_moved(record: Record, image: Image, relation: Relation) -> bool:
    if not same_shape(record, image):
        return False
    if record.phase in HALF_WRITTEN:
        return True
    unchanged = record.manifest.after == Identity.of(image.top)
    return record.phase is Phase.COMMITTED and relation.vacant and unchanged


def same_shape(record: Record, image: Image) -> bool:
    """True when size and format are what they were."""
    was = (record.manifest.virtual_size_bytes, record.manifest.format)
    return was == (image.virtual_size_bytes, image.format.value)


def near(records: Sequence[Record], image: Image) -> list[Record]:
    """The records of the image's path or file, whatever it holds now."""
    return [r for r in records if relate(r.manifest, image.top).near]


def half_written(records: Sequence[Record], image: Image) -> list[Judged]:
    """Half-written records that concern the image, each judged: it may not be used before they are settled.

    Another disk that has a device's name today is not concerned.
    """
    ignored = {Fit.UNRELATED, *((Fit.FOREIGN,) if image.is_block_device else ())}
    with Judge(image) as judged:
        found = [judged.unless_damaged(r) for r in records if r.phase in HALF_WRITTEN]
    return [j for j in found if j is not None and j.fit not in ignored]


def in_force(records: Sequence[Record], image: Image) -> Judged | None:
    """The last repair that the image holds, or held; None when none is recorded.

    One that fits before one that does not: disks come and go under one name.
    """
    foreign: Judged | None = None
    with Judge(image) as judged:
        for record in reversed(records):
            found = judged.unless_damaged(record) if record.phase in IN_FORCE else None
            if found is None or found.fit is Fit.UNRELATED:
                continue
            if found.fit is not Fit.FOREIGN:
                return found
            foreign = foreign or found
    return foreign


def of_image(records: Sequence[Record], image: Image) -> list[Record]:
    """The records of an image, oldest first: the near ones, and those of which it is the moved image."""
    with Judge(image) as judged:
        return [
            record
            for record in records
            if relate(record.manifest, image.top).near
            or (
                record.phase is Phase.COMMITTED
                and (found := judged.unless_damaged(record)) is not None
                and found.fit is Fit.OURS
            )
        ]
