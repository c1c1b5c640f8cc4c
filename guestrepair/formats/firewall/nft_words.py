"""Pieces of nft's language that stand in braces or are joined: lists, elements, TCP flags."""

from __future__ import annotations

from collections.abc import Sequence

from guestrepair.errors import FormatError
from guestrepair.formats.firewall import names
from guestrepair.formats.firewall.nft_tokens import Token
from guestrepair.formats.firewall.rules import FlagTest

MAX_ELEMENTS = 200_000


def braces(words: Sequence[Token], at: int) -> tuple[list[Token], int]:
    """What stands between a brace and the one that closes it, and where it goes on after that.

    Raises:
        FormatError: there is no brace, or nothing closes it.
    """
    if at >= len(words) or words[at].text != "{":
        raise FormatError("a list without braces")
    depth = 0
    for position in range(at, len(words)):
        text = words[position].text
        depth += (text == "{") - (text == "}")
        if depth == 0:
            return [t for t in words[at + 1 : position] if t.kind != "newline"], position + 1
    raise FormatError(f"line {words[at].line}: nothing closes the brace")


def split(words: Sequence[Token], sign: str) -> list[list[Token]]:
    """The words between signs outside of braces; nothing for no words, and no empty last piece."""
    pieces: list[list[Token]] = [[]]
    depth = 0
    for token in words:
        depth += (token.text == "{") - (token.text == "}")
        if token.text == sign and depth == 0 and token.kind != "string":
            pieces.append([])
            if len(pieces) > MAX_ELEMENTS:
                raise FormatError(f"more than {MAX_ELEMENTS} elements, not all of them were looked at")
        elif token.kind != "newline":
            pieces[-1].append(token)
    return pieces[:-1] if not pieces[-1] else pieces


def flag_test(words: Sequence[Token], at: int) -> tuple[FlagTest, int] | None:
    """``syn``, ``& (fin|syn) == syn``, ``syn / fin,syn``, ``== syn``, ``{ syn, syn|ack }``."""
    mask, negated = 0xFF, False
    if at < len(words) and words[at].text == "&":
        masked = _flags(words, at + 1)
        if masked is None:
            return None
        mask, at = masked
        if at >= len(words) or words[at].text not in {"==", "!="}:
            return None
    signed = at < len(words) and words[at].text in {"==", "!="}
    if signed:
        negated = words[at].text == "!="
        at += 1
    if at < len(words) and words[at].text == "{":
        inside, end = braces(words, at)
        values = [_flags(element, 0) for element in split(inside, ",")]
        known = tuple(value[0] for value in values if value is not None)
        return (FlagTest(mask, known, negated=negated), end) if len(known) == len(values) else None
    value = _flags(words, at)
    if value is None:
        return None
    if value[1] < len(words) and words[value[1]].text == "/":
        masked = _flags(words, value[1] + 1)
        return None if masked is None else (FlagTest(masked[0], (value[0],), negated=negated), masked[1])
    if signed and mask == 0xFF and negated:
        return None  # releases differ in what this means
    return FlagTest(mask if signed else value[0], (value[0],), any_of=not signed, negated=negated), value[1]


def _flags(words: Sequence[Token], at: int) -> tuple[int, int] | None:
    """Flags joined by ``|`` or a comma, with or without parentheses, and where they end."""
    bits, start = 0, at
    inside = at < len(words) and words[at].text == "("
    at += inside
    while at < len(words):
        text = words[at].text
        if text in names.FLAGS:
            bits |= names.FLAGS[text]
        elif words[at].kind == "number":
            bits |= int(text, 0) if text.startswith("0x") or not text.startswith("0") else int(text)
        else:
            return None
        at += 1
        if at < len(words) and words[at].text in {"|", ","}:
            at += 1
            continue
        break
    if inside:
        if at >= len(words) or words[at].text != ")":
            return None
        at += 1
    return (bits, at) if at > start else None
