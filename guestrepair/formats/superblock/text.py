"""How blkid(8) writes UUIDs and labels."""

from __future__ import annotations

from itertools import pairwise


def dce_uuid(raw: bytes) -> str:
    """Sixteen bytes in their order as ``8-4-4-4-12`` lower case; empty when all are zero or too few."""
    if len(raw) != 16 or not any(raw):
        return ""
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def guid(raw: bytes) -> str:
    """Sixteen bytes of a Microsoft GUID (first three fields little-endian), lower case."""
    if len(raw) != 16:
        return ""
    return dce_uuid(raw[3::-1] + raw[5:3:-1] + raw[7:5:-1] + raw[8:])


def lvm_uuid(raw: bytes) -> str:
    """The 32 characters of an LVM identifier as ``6-4-4-4-4-4-6``."""
    text = raw.decode("ascii", "replace")
    edges = (0, 6, 10, 14, 18, 22, 26, 32)
    return "-".join(text[a:b] for a, b in pairwise(edges))


def serial(raw: bytes) -> str:
    """A FAT or exFAT volume serial number: ``ABCD-1234``, upper case."""
    return f"{raw[3]:02X}{raw[2]:02X}-{raw[1]:02X}{raw[0]:02X}" if len(raw) == 4 else ""


def label(raw: bytes) -> str:
    """Text up to the first NUL, without white space at its end; bytes that are not UTF-8 as surrogates."""
    return raw.split(b"\0", 1)[0].decode("utf-8", "surrogateescape").rstrip(" \t\n\v\f\r")


def utf16_label(raw: bytes, encoding: str) -> str:
    """As :func:`label`, from ``utf-16-le`` or ``utf-16-be``; a lone surrogate becomes U+FFFD."""
    even = raw[: len(raw) // 2 * 2]
    text = even.decode(encoding, "replace").split("\0", 1)[0]
    return text.rstrip(" \t\n\v\f\r")
