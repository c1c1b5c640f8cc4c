"""What damage to packaged paths does: by the stage that needs them."""

from __future__ import annotations

from collections.abc import Iterable

from guestrepair.model import Effect
from guestrepair.system.guest_system import System
from guestrepair.system.needs import Stage

EFFECTS = {Stage.BOOT: Effect.STOPS_BOOT, Stage.LOGIN: Effect.STOPS_LOGIN, Stage.OTHER: Effect.DEGRADES}


def worst_effect(system: System, paths: Iterable[object]) -> Effect:
    """The worst that the loss of any of these paths does."""
    return EFFECTS[system.needs.first(map(str, paths))]
