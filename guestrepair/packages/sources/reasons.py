"""Why a download failed, in words of ours.

What a package client says may quote what a repository sent, or a line of a file, so none
of it is shown: it only decides which of these sentences is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

UNKNOWN = "the client gave no reason that is known here"

_KINDS = (
    (r"Could(?:n't| not) resolve|Temporary failure|Name or service not known|No address associated",
     "a host name cannot be resolved"),
    (r"certificate|SSL|TLS|handshake", "no encrypted connection: the certificate or the protocol is bad"),
    (r"Connection refused|Could(?:n't| not) connect|Network is unreachable|No route to host",
     "no connection to a host"),
    (r"timed out|[Tt]imeout", "a host did not answer in time"),
    (r"Redirection|trick us into", "a host led to another kind of address, which is refused"),
    (r"no address of http", "a list of mirrors names none of http or https"),
    (r"(?:\s{2}|HTTP Error )40[13]\b", "a host denies access"),
    (r"(?:\s{2}|HTTP Error )5\d\d\b", "a host has a fault of its own"),
    (r"NO_PUBKEY|EXPKEYSIG|BADSIG|is not signed|couldn't be verified|could not be verified",
     "an index is not signed by a key that the guest trusts"),
    (r"[Hh]ash [Ss]um|unexpected size|[Cc]hecksum", "a file is not what its index says"),
    (r"No space left|Disk quota", "no space is left on this host"),
    (r"[Cc]annot allocate memory|bad_alloc|MemoryError", "it needed more memory than it may have"),
    (r"does not have a Release file|(?:\s{2}|HTTP Error )404\b|Not Found", "a host has no such repository"),
)  # fmt: skip
_COMPILED = tuple((re.compile(pattern), words) for pattern, words in _KINDS)


def reason(said: str) -> str:
    """The first kind of failure that the client's words fit; it is never a part of them."""
    return next((words for pattern, words in _COMPILED if pattern.search(said)), UNKNOWN)


def hosts(names: Iterable[str], *, limit: int = 10) -> str:
    """The hosts that are going to be asked, for the user to read."""
    different = sorted(set(names))
    more = f" and {len(different) - limit} more" if len(different) > limit else ""
    return ", ".join(different[:limit]) + more
