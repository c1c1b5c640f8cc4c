"""Numbers, times, ports and addresses as the C library and sshd's own helpers read them.

Behaviour of strtonum(3), OpenSSH misc.c convtime(), a2port(), hpdelim(),
openbsd-compat scan_scaled(), addrmatch.c addr_match_list().
"""

from __future__ import annotations

import ipaddress
import re
import socket

INT_MAX = 2**31 - 1
LONG_LONG_MAX = 2**63 - 1
TIME_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
TIME_PART = re.compile(r"[ \t\n\v\f\r]*([+-]?)(\d+)([smhdwSMHDW]?)")
STRTOL = re.compile(r"[ \t\n\v\f\r]*([+-]?\d+)")
SCALED = re.compile(r"([+-]?)(\d*)(?:\.(\d*))?([bkmgtpeBKMGTPE]?)(?![0-9A-Za-z]).*", re.DOTALL)
SCALES = {unit: 1024**power for power, unit in enumerate("bkmgtpe")}
SERVICES = {
    "ssh": 22,
    "http": 80,
    "https": 443,
    "telnet": 23,
    "smtp": 25,
    "ftp": 21,
    "domain": 53,
    "imaps": 993,
}
"""Ports of services(5) that a configuration may name; sshd asks getservbyname()."""


def strtonum(text: str, low: int, high: int) -> int | None:
    """A whole decimal number within bounds, or None."""
    if not STRTOL.fullmatch(text) or len(text) > 40:
        return None
    value = int(text)
    return value if low <= value <= high else None


def port(text: str) -> int:
    """The port number of a number or a service's name; -1 when it is neither."""
    value = strtonum(text, 0, 65535)
    return SERVICES.get(text, -1) if value is None else value


def seconds(text: str) -> int | None:
    """A time such as ``90``, ``2m`` or ``1h30m``; None when sshd does not take it."""
    total = 0
    position = 0
    if not text:
        return None
    while position < len(text):
        part = TIME_PART.match(text, position)
        if part is None or len(part[2]) > 20 or (part[1] == "-" and int(part[2])):
            return None
        if not part[3] and part.end() != len(text):
            return None
        total += int(part[2]) * TIME_UNITS[part[3].lower()]
        if total > INT_MAX:
            return None
        position = part.end()
    return total


def scaled(text: str) -> int | None:
    """A size such as ``512M``; None when sshd does not take it."""
    found = SCALED.fullmatch(text.lstrip(" \t\n\v\f\r"))
    if found is None or len(found[2]) > 18:
        return None
    if not found[4] and found.end(3 if found[3] is not None else 2) != len(text.lstrip(" \t\n\v\f\r")):
        return None
    value = int(found[2] or "0") * SCALES[found[4].lower() or "b"]
    return None if value > LONG_LONG_MAX else (-value if found[1] == "-" else value)


def host_and_port(text: str, *, slash: bool = False) -> tuple[str, str | None] | None:
    """Cut ``host:port`` or ``[address]:port``; None for a bracket that does not close or text after it.

    ``slash``: a ``/`` separates as well, as it did up to 7.6; later it is refused.
    """
    if text.startswith("["):
        end = text.find("]")
        if end < 0:
            return None
        rest = text[end + 1 :]
        if not rest:
            return text[1:end], None
        return (text[1:end], rest[1:]) if rest[0] == ":" or (slash and rest[0] == "/") else None
    index = next((i for i, char in enumerate(text) if char in ":/"), -1)
    if index >= 0 and text[index] == "/" and not slash:
        return None
    return (text, None) if index < 0 else (text[:index], text[index + 1 :])


def address_family(text: str) -> int:
    """4 or 6 for a numeric address as getaddrinfo(AI_NUMERICHOST) takes it, else 0."""
    try:
        socket.inet_aton(text)
    except (OSError, ValueError):
        pass
    else:
        return 4 if text and not text[-1].isspace() and " " not in text else 0
    try:
        socket.inet_pton(socket.AF_INET6, text.partition("%")[0])
    except (OSError, ValueError):
        return 0
    return 6


def address_list_is_valid(text: str) -> bool:
    """False for a list of addresses and networks that sshd refuses: an empty element, a wrong mask length."""
    return all(_element_is_valid(element.removeprefix("!")) for element in text.split(","))


def _element_is_valid(element: str) -> bool:
    if not element:
        return False
    address, slash, length_text = element.partition("/")
    if len(element) >= 64:
        return True  # too long for sshd's buffer: taken for a wildcard
    if slash and (not re.fullmatch(r"\d+", length_text) or int(length_text[:9]) > 128):
        return True  # no CIDR at all: taken for a wildcard
    family = address_family(address)
    if not family or not slash:
        return True
    length = int(length_text)
    if family == 4:
        network = int.from_bytes(socket.inet_aton(address), "big")
        bits = 32
    else:
        network = int(ipaddress.IPv6Address(address.partition("%")[0]))
        bits = 128
    return length <= bits and network & ((1 << (bits - length)) - 1) == 0
