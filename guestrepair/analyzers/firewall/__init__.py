"""The guest's own firewall: does what it loads at boot let a login over ssh through?

What is loaded is followed rule by rule for the three packets of a login (the first one in, the answer out,
what follows in), from any routable address and through any Ethernet card. There are three answers: open
(nothing is said), closed, and cannot tell, which is a note with the words that were not understood.
The ruleset of a running guest, and what programs add while it runs, cannot be seen in an image.
"""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.base import Analyzer, Context
from guestrepair.analyzers.firewall.closed import SSH_CLOSED, check_ssh
from guestrepair.analyzers.not_understood import not_understood, notes
from guestrepair.model import Finding

NOT_UNDERSTOOD = not_understood(
    "firewall",
    "ENABLED= in /etc/ufw/ufw.conf that is neither yes nor no. What is not understood in rules and zones is"
    " firewall/ssh-closed's own note.",
    example="ENABLED=ja",
    sources=("ufw(8)", "ufw src/ufw-init-functions"),
)


def check_words(context: Context) -> Iterator[Finding]:
    """not-understood."""
    yield from notes(NOT_UNDERSTOOD, context.system.firewall.strange)


ANALYZER = Analyzer(
    name="firewall",
    summary="whether the firewall loaded at boot lets connections to sshd through",
    rules=(SSH_CLOSED, NOT_UNDERSTOOD),
    checks=(check_ssh, check_words),
    late=True,  # the boot menu may be asked, and what of it lies on the EFI system partition
)
