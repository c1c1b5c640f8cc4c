"""The answer of a time stamping authority, as far as to whether it is a time stamp of what was sent.

Its signature is for ``openssl ts -verify`` and whoever has the authority's certificates.

Sources: RFC 3161, 2.4.2 (TimeStampResp, PKIStatusInfo); ITU-T X.690 (DER).
"""

from __future__ import annotations

from dataclasses import dataclass

from guestrepair.errors import FormatError

_SEQUENCE, _INTEGER = 0x30, 0x02
_GRANTED = (0, 1)
_WORDS = {2: "rejected", 3: "waiting", 4: "a revocation is imminent", 5: "revoked"}


@dataclass(frozen=True, slots=True)
class TimestampReply:
    """``refusal`` says why there is no time stamp; "" when there is one, which is ``token`` (CMS, DER)."""

    refusal: str
    token: bytes


def parse_timestamp_reply(data: bytes) -> TimestampReply:
    """What an authority answered.

    Raises:
        FormatError: no TimeStampResp.
    """
    body, rest = _value(data, _SEQUENCE)
    if rest:
        raise FormatError("time stamp: more than an answer")
    information, token = _value(body, _SEQUENCE)
    status, _ = _value(information, _INTEGER)
    if not 1 <= len(status) <= 4:
        raise FormatError("time stamp: a status that is no small number")
    number = int.from_bytes(status, signed=True)
    if number not in _GRANTED:
        return TimestampReply(_WORDS.get(number, f"status {number}"), b"")
    _, more = _value(token, _SEQUENCE)
    if more:
        raise FormatError("time stamp: something behind the token")
    return TimestampReply("", token)


def _value(data: bytes, tag: int) -> tuple[bytes, bytes]:
    """The content of the first element, and what follows it."""
    if len(data) < 2 or data[0] != tag:
        raise FormatError(f"time stamp: no element {tag:#04x} where one has to be")
    length, at = data[1], 2
    if length & 0x80:
        count = length & 0x7F
        if not 1 <= count <= 4 or len(data) < 2 + count:
            raise FormatError("time stamp: a length that is none")
        length, at = int.from_bytes(data[2 : 2 + count]), 2 + count
    if at + length > len(data):
        raise FormatError("time stamp: cut off")
    return data[at : at + length], data[at + length :]
