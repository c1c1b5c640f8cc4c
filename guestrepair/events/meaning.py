"""What a logged line means, as far as it means more than that it was logged."""

from __future__ import annotations

from dataclasses import dataclass

from guestrepair.events.model import Kind

Detail = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Meaning:
    """The parts of an event that a line's text gives; time and place are known to who read the line.

    ``actor`` is who did it, where the line names them. In ``detail``: ``action`` (``login``, ``logout``,
    ``failed``, ``switch``, ``session``, ``boot``, ``shutdown``, ``started``, ``stopped``, ``failed``,
    ``reached``…), ``account`` whom it was done to, ``record`` which record of commands it is.
    """

    kind: Kind
    actor: str | None
    message: str
    path: str | None = None
    detail: Detail = ()


def matched(**fields: str) -> Detail:
    """Further facts, without those that the line does not have."""
    return tuple((name, value) for name, value in fields.items() if value)
