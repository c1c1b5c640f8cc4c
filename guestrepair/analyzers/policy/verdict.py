"""What comes out when one requirement is held against a guest."""

from __future__ import annotations

from dataclasses import dataclass, field

from guestrepair.model import Evidence


@dataclass(slots=True)
class Verdict:
    """What is not met, as evidence, and what could not be looked at, in words; nothing of both: it is met.

    ``subject`` is the finding's, ``about`` the same in a sentence.
    """

    subject: str
    about: str
    misses: list[Evidence] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def missed(self, source: str, observed: str, required: str) -> None:
        """Add what is there instead of what is required."""
        self.misses.append(Evidence(source, observed, required))
