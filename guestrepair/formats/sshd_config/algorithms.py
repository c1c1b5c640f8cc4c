"""Names of ciphers, MACs, key exchanges and key types that sshd_config may list, by release.

Facts from OpenSSH's cipher.c, mac.c, kex.c and sshkey.c; ``until`` is the first
release without the name.
"""

from __future__ import annotations

from collections.abc import Mapping

Release = tuple[int, int]
Range = tuple[Release, Release]
NEVER: Release = (999, 0)


def _table(*groups: tuple[Release, Release, str]) -> dict[str, Range]:
    return {name: (since, until) for since, until, names in groups for name in names.split()}


CIPHERS = _table(
    ((0, 0), NEVER, "3des-cbc aes128-cbc aes192-cbc aes256-cbc aes128-ctr aes192-ctr aes256-ctr"),
    ((0, 0), (8, 5), "rijndael-cbc@lysator.liu.se"),
    ((0, 0), (7, 6), "blowfish-cbc cast128-cbc arcfour arcfour128 arcfour256"),
    ((6, 2), NEVER, "aes128-gcm@openssh.com aes256-gcm@openssh.com"),
    ((6, 5), NEVER, "chacha20-poly1305@openssh.com"),
    ((0, 0), (7, 6), "acss@openssh.org"),
)
MACS = _table(
    ((0, 0), NEVER, "hmac-sha1 hmac-sha1-96 hmac-md5 hmac-md5-96 umac-64@openssh.com"),
    ((0, 0), (7, 6), "hmac-ripemd160 hmac-ripemd160@openssh.com"),
    ((5, 9), NEVER, "hmac-sha2-256 hmac-sha2-512"),
    ((5, 9), (6, 1), "hmac-sha2-256-96 hmac-sha2-512-96"),
    ((6, 2), NEVER, "umac-128@openssh.com hmac-sha1-etm@openssh.com hmac-sha1-96-etm@openssh.com"),
    ((6, 2), NEVER, "hmac-sha2-256-etm@openssh.com hmac-sha2-512-etm@openssh.com hmac-md5-etm@openssh.com"),
    ((6, 2), NEVER, "hmac-md5-96-etm@openssh.com umac-64-etm@openssh.com umac-128-etm@openssh.com"),
    ((6, 2), (7, 6), "hmac-ripemd160-etm@openssh.com"),
)
KEX = _table(
    ((0, 0), NEVER, "diffie-hellman-group1-sha1 diffie-hellman-group14-sha1"),
    ((0, 0), NEVER, "diffie-hellman-group-exchange-sha1 diffie-hellman-group-exchange-sha256"),
    ((5, 7), NEVER, "ecdh-sha2-nistp256 ecdh-sha2-nistp384 ecdh-sha2-nistp521"),
    ((6, 5), NEVER, "curve25519-sha256@libssh.org"),
    (
        (7, 3),
        NEVER,
        "diffie-hellman-group14-sha256 diffie-hellman-group16-sha512 diffie-hellman-group18-sha512",
    ),
    ((7, 4), NEVER, "curve25519-sha256"),
    ((8, 0), (8, 5), "sntrup4591761x25519-sha512@tinyssh.org"),
    ((8, 5), NEVER, "sntrup761x25519-sha512@openssh.com"),
    ((9, 9), NEVER, "sntrup761x25519-sha512 mlkem768x25519-sha256"),
)
KEY_TYPES = _table(
    ((0, 0), NEVER, "ssh-rsa"),
    ((0, 0), (10, 0), "ssh-dss"),
    ((5, 6), NEVER, "ssh-rsa-cert-v01@openssh.com"),
    ((5, 6), (10, 0), "ssh-dss-cert-v01@openssh.com"),
    ((5, 4), (7, 0), "ssh-rsa-cert-v00@openssh.com ssh-dss-cert-v00@openssh.com"),
    ((5, 7), NEVER, "ecdsa-sha2-nistp256 ecdsa-sha2-nistp384 ecdsa-sha2-nistp521"),
    ((5, 7), NEVER, "ecdsa-sha2-nistp256-cert-v01@openssh.com ecdsa-sha2-nistp384-cert-v01@openssh.com"),
    ((5, 7), NEVER, "ecdsa-sha2-nistp521-cert-v01@openssh.com"),
    ((6, 5), NEVER, "ssh-ed25519 ssh-ed25519-cert-v01@openssh.com"),
    ((7, 2), NEVER, "rsa-sha2-256 rsa-sha2-512"),
    ((7, 8), NEVER, "rsa-sha2-256-cert-v01@openssh.com rsa-sha2-512-cert-v01@openssh.com"),
    ((8, 2), NEVER, "sk-ecdsa-sha2-nistp256@openssh.com sk-ecdsa-sha2-nistp256-cert-v01@openssh.com"),
    ((8, 2), NEVER, "sk-ssh-ed25519@openssh.com sk-ssh-ed25519-cert-v01@openssh.com"),
    ((8, 2), NEVER, "webauthn-sk-ecdsa-sha2-nistp256@openssh.com"),
    ((10, 3), NEVER, "webauthn-sk-ecdsa-sha2-nistp256-cert-v01@openssh.com"),
)
KEY_TYPE_NICKNAMES = frozenset({"ed25519", "rsa", "dsa", "ecdsa", "ed25519-sk", "ecdsa-sk", "xmss"})
"""Short names that sshkey_type_from_name() takes as well (case does not count)."""

GSS_KEX_PREFIXES = frozenset(
    {
        "gss-gex-sha1-",
        "gss-group1-sha1-",
        "gss-group14-sha1-",
        "gss-group14-sha256-",
        "gss-group16-sha512-",
        "gss-nistp256-sha256-",
        "gss-curve25519-sha256-",
    }
)
"""Names of the GSSAPI key exchanges of the vendors' patch."""


def bad_name(
    listed: str, table: Mapping[str, Range], release: Release, known_words: frozenset[str]
) -> str | None:
    """The first name of a comma list that this sshd refuses; None when it takes them all.

    sshd stops reading at an empty element, so ``a,,nonsense`` passes.
    ``known_words`` are strings of the guest's own binary: what it knows, it takes.
    """
    if not listed:
        return listed
    for name in listed.split(","):
        if not name:
            return None
        if not _in_table(name, table, release) and not _binary_knows(name, table, known_words):
            return name
    return None


def bad_key_type(listed: str, release: Release, known_words: frozenset[str]) -> str | None:
    """As :func:`bad_name` for key types: wildcards count when they match some type, also negatively."""
    if not listed:
        return listed
    for name in listed.split(","):
        if not name:
            return None
        known = _in_table(name, KEY_TYPES, release) or _binary_knows(name, KEY_TYPES, known_words)
        if known or name.lower() in KEY_TYPE_NICKNAMES:
            continue
        pattern = name.removeprefix("!")
        if not any(matches(kind, pattern) for kind in KEY_TYPES if _in_table(kind, KEY_TYPES, release)):
            return name
    return None


MAX_PATTERN_LENGTH = 1023
"""A longer one in a list matches nothing (OpenSSH's match.c, match_pattern_list())."""


def matches(text: str, pattern: str) -> bool:
    """sshd's match_pattern(): ``*`` and ``?`` alone are special."""
    if len(pattern) > MAX_PATTERN_LENGTH:
        return False
    at = place = 0
    star = resume = -1
    # After a mismatch the last star takes one more character: an earlier one never has to be tried again.
    while at < len(text):
        wanted = pattern[place : place + 1]
        if wanted == "*":
            star, resume = place, at
            place += 1
        elif wanted and wanted in ("?", text[at]):
            at += 1
            place += 1
        elif star >= 0:
            resume += 1
            at, place = resume, star + 1
        else:
            return False
    return not pattern[place:].strip("*")


def selects_something(listed: str, table: Mapping[str, Range], release: Release) -> bool:
    """Whether a list of names and patterns leaves any algorithm at all; a negated pattern spoils it."""
    names = [name for name in table if _in_table(name, table, release)]
    patterns = listed.removeprefix("+").removeprefix("^").split(",")
    if any(pattern.startswith("!") for pattern in patterns):
        return False
    validated = patterns[: patterns.index("")] if "" in patterns else patterns
    plain = [p for p in validated if not set(p) & set("*?") and p.lower() not in KEY_TYPE_NICKNAMES]
    return listed[:1] in ("+", "^") or bool(plain) or any(matches(n, p) for p in patterns for n in names)


def _binary_knows(name: str, table: Mapping[str, Range], known_words: frozenset[str]) -> bool:
    # A word such as "none" is in every binary, and so are the names of the other tables.
    others = [other for other in (CIPHERS, MACS, KEX, KEY_TYPES) if other is not table]
    return "-" in name and name in known_words and not any(name in other for other in others)


def _in_table(name: str, table: Mapping[str, Range], release: Release) -> bool:
    found = table.get(name)
    return found is not None and found[0] <= release < found[1]
