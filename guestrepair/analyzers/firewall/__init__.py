"""The guest's own firewall: does what it loads at boot let a login over ssh through?

What is loaded is followed rule by rule for the three packets of a login (the first one in, the answer out,
what follows in), from any routable address and through any Ethernet card. There are three answers: open
(nothing is said), closed, and cannot tell, which is a note with the words that were not understood.
The ruleset of a running guest, and what programs add while it runs, cannot be seen in an image.
"""

from __future__ import annotations

from guestrepair.analyzers.base import Analyzer
from guestrepair.analyzers.firewall.closed import SSH_CLOSED, check_ssh

ANALYZER = Analyzer(
    name="firewall",
    summary="whether the firewall loaded at boot lets connections to sshd through",
    rules=(SSH_CLOSED,),
    checks=(check_ssh,),
)
