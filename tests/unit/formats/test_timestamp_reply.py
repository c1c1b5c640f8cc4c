"""What a time stamping authority answers, and what it does not."""

from __future__ import annotations

import pytest

from guestrepair.errors import FormatError
from guestrepair.formats.timestamp_reply import parse_timestamp_reply

STATUS = "3003020100"


@pytest.mark.parametrize(
    ("data", "refusal", "token"),
    [
        ("30093003020100" + "30020500", "", "30020500"),
        ("30093003020101" + "30020500", "", "30020500"),
        ("30053003020102", "rejected", ""),
        ("300530030201ff", "status -1", ""),
        ("3081073005020102" + "3000", "rejected", ""),
    ],
)
def test_granted_or_not(data: str, refusal: str, token: str) -> None:
    found = parse_timestamp_reply(bytes.fromhex(data))
    assert (found.refusal, found.token.hex()) == (refusal, token)


@pytest.mark.parametrize(
    "data",
    [
        "",
        "30",
        "3000",
        "3080",
        "30ff",
        "3085ffffffffff",
        "30053003020100",  # granted, and no token
        "300930030201003002050000",  # a byte too many
        "300a300302010030020500",  # cut off
        "30073005020500000000",  # a status of five bytes, cut off
        "30043002" + "0200",
        "310530030201023000",
    ],
)
def test_no_answer(data: str) -> None:
    with pytest.raises(FormatError):
        parse_timestamp_reply(bytes.fromhex(data))
