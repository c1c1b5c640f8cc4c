"""A question to the user waits for him: what he takes to answer is in no budget."""

from __future__ import annotations
