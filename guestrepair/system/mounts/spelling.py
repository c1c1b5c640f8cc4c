"""How far apart two names are: a slip of the pen, or another thing."""

from __future__ import annotations

import re

_DOS_PARTUUID = re.compile(r"([0-9a-f]{8})-([0-9a-f]{2})")


def near_miss(written: str, real: str) -> str | None:
    """How a written name differs from the real one when that is a slip of the pen, else None.

    A slip is a few characters (four of a UUID, one in five of a shorter name), a lost end or start,
    lost hyphens, or something stuck to it.
    """
    a, b = written.lower(), real.lower()
    if written == real:
        return None
    if a == b:
        return "the same but for upper and lower case"
    dos = _DOS_PARTUUID.fullmatch(b)
    if dos is not None:
        # Disk identifier and partition number: another number is another partition, not a slip.
        same_number = a.endswith(f"-{dos[2]}")
        distance = edit_distance(a, b, 2) if same_number else None
        return None if distance is None else _differ(distance)
    plain_a, plain_b = (x.replace("-", "").strip("\"'{}()[],;: ") for x in (a, b))
    if plain_a == plain_b and plain_a:
        return "the same but for hyphens or quotes"
    shorter, longer = sorted((plain_a, plain_b), key=len)
    if (
        len(shorter) >= 8
        and 2 * len(shorter) > len(longer)
        and (longer.startswith(shorter) or longer.endswith(shorter))
    ):
        return f"{len(longer) - len(shorter)} characters at one end"
    allowed = 4 if len(b) >= 32 else min(2, len(b) // 4)
    distance = edit_distance(a, b, allowed)
    if distance is None:
        return None
    return _differ(distance)


def _differ(distance: int) -> str:
    return "1 character differs" if distance == 1 else f"{distance} characters differ"


def edit_distance(a: str, b: str, most: int) -> int | None:
    """Insertions, deletions, replacements and swaps of neighbours between two names; None above ``most``."""
    if abs(len(a) - len(b)) > most or max(len(a), len(b)) > 256:
        return None
    # Only the places at most ``most`` beside the diagonal can lead to an answer: all others count as too far.
    far = most + 1
    width = len(b) + 1
    before: list[int] = []
    last = [min(j, far) for j in range(width)]
    for i, left in enumerate(a, start=1):
        row = [far] * width
        row[0] = min(i, far)
        for j in range(max(1, i - most), min(len(b), i + most) + 1):
            right = b[j - 1]
            best = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (left != right))
            if before and j > 1 and left == b[j - 2] and a[i - 2] == right:
                best = min(best, before[j - 2] + 1)
            row[j] = best
        if min(row) >= far and min(last) >= far:
            return None
        before, last = last, row
    return last[-1] if 0 < last[-1] <= most else None
