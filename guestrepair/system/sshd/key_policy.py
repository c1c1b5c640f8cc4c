"""Which keys an sshd refuses for their kind or size: by its release, configuration and crypto policy.

The crypto policy of Red Hat's systems reaches sshd as configuration: an Include in sshd_config.d, or options
on the command line. Where that names ssh-rsa alone of the RSA signatures, the client decides: not refused.

Sources: OpenSSH release notes 7.0 (ssh-dss off), 7.6 (RSA below 1024 bits), 9.1 (RequiredRSASize), 9.8 and
10.0 (DSA off and gone); sshd_config(5), PubkeyAcceptedAlgorithms, HostKeyAlgorithms; crypto-policies(7).
"""

from __future__ import annotations

from collections.abc import Iterable

from guestrepair.formats.authorized_keys import TYPE_FAMILIES, key_bits
from guestrepair.formats.ssh_key import PublicKey
from guestrepair.formats.sshd_config.algorithms import KEY_TYPE_NICKNAMES, matches
from guestrepair.formats.sshd_config.matching import match_list
from guestrepair.formats.sshd_config.settings import Settings, Value
from guestrepair.system.sshd.server import Release, Server

DSA_OFF_SINCE: Release = (7, 0)
DSA_GONE_SINCE: Release = (10, 0)
MINIMUM_RSA_BITS = (((7, 6), 1024), ((0, 0), 768))
_RSA = ("rsa-sha2-512", "rsa-sha2-256", "ssh-rsa")


class KeyPolicy:
    """What one sshd refuses."""

    def __init__(self, settings: Settings, server: Server) -> None:
        self._settings = settings
        self._release = server.release

    def refusal_of_user_key(self, key: PublicKey, accepted: Iterable[Value], sizes: Iterable[Value]) -> str:
        """Why a user's key lets nobody in, "" where it may.

        ``accepted`` are the lines of PubkeyAcceptedAlgorithms and ``sizes`` those of RequiredRSASize that
        may apply to the account.
        """
        lists = [value.text for value in accepted]
        certain = [value.certain for value in accepted]
        texts = lists if any(certain) else [*lists, ""]
        reasons = [self._by_list(key.type, text, "PubkeyAcceptedAlgorithms") for text in texts or [""]]
        return self._size(key, sizes) or (reasons[0] if all(reasons) else "")

    def refusal_of_host_key(self, key: PublicKey) -> str:
        """Why sshd does not use a host key, "" where it does."""
        sizes = [Value(line) for line in self._settings.every("requiredrsasize")[:1]]
        listed = self._settings.text("hostkeyalgorithms")
        return self._size(key, sizes) or self._by_list(key.type, listed, "HostKeyAlgorithms")

    def _size(self, key: PublicKey, sizes: Iterable[Value]) -> str:
        if key.type != "ssh-rsa":
            return ""
        bits = key_bits(key.blob)
        built_in = next(size for since, size in MINIMUM_RSA_BITS if self._release >= since)
        if bits < built_in:
            return f"an RSA key of {bits} bits, and this sshd takes none below {built_in}"
        known = [(value.text, value.certain) for value in sizes]
        wanted = [int(text) for text, _ in known if text.isdigit() and len(text) < 7]
        if wanted and any(certain for _, certain in known) and bits < min(wanted):
            return f"an RSA key of {bits} bits, and RequiredRSASize is {min(wanted)}"
        return ""

    def _by_list(self, kind: str, text: str, keyword: str) -> str:
        names = _RSA if TYPE_FAMILIES.get(kind) == "rsa" else (kind,)
        if kind == "ssh-dss" and self._release >= DSA_GONE_SINCE:
            return "a DSA key, which this sshd no longer knows"
        if kind == "ssh-dss" and self._release >= DSA_OFF_SINCE:
            if not (text and any(_takes(text, name, is_default=False) for name in names)):
                return "a DSA key, which this sshd refuses unless it is asked to take it"
            return ""
        if not text or any(_takes(text, name, is_default=True) for name in names):
            return ""
        return f"a key of the type {kind}, and {keyword} has none of {', '.join(names)}"


def _takes(text: str, name: str, *, is_default: bool) -> bool:
    """True where the list, with its ``+``, ``-`` or ``^``, leaves an algorithm on."""
    listed = text[1:] if text[:1] in ("+", "-", "^") else text
    named = match_list(name, listed) or any(
        word.lower() in KEY_TYPE_NICKNAMES and matches(name, f"*{word.lower()}*")
        for word in listed.split(",")
    )
    if text.startswith("-"):
        return is_default and not named
    return named or (text[:1] in ("+", "^") and is_default)
