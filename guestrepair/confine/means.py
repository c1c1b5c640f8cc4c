"""By what means this host's kernel can hold a process: Landlock, a mount namespace, or nothing.

Only the standard library is imported, since ``launcher.py`` starts with this.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence

from guestrepair.confine import landlock, namespace

LANDLOCK, NAMESPACE, NOTHING = "landlock", "namespace", ""


def hold(
    means: str,
    rules: Sequence[landlock.Rule],
    *,
    network: bool = False,
    becomes_another_user: bool = False,
) -> None:
    """From now on the calling thread, and all that it starts, can open nothing but those paths.

    It has none of root's rights either, but to open files that belong to others. True of
    ``NOTHING`` is only the latter.

    Raises:
        OSError: the kernel refuses.
    """
    if means == LANDLOCK:
        descriptor = landlock.ruleset(rules, network=network)
        try:
            landlock.restrict(descriptor)
        finally:
            os.close(descriptor)
    elif means == NAMESPACE:
        namespace.enter(rules, network=network)
    landlock.no_new_privileges()
    landlock.drop_root_rights(becomes_another_user=becomes_another_user)


def best() -> str:
    """The best means that works here, tried out."""
    if landlock.version():
        return LANDLOCK
    worked: list[bool] = []
    thread = threading.Thread(target=lambda: worked.append(_namespace_works()))
    thread.start()
    thread.join()
    return NAMESPACE if worked == [True] else NOTHING


def _namespace_works() -> bool:
    """Tried in a thread that ends with it."""
    if os.geteuid() != 0 or not landlock.can_drop_root_rights():
        return False
    try:
        namespace.enter([("/usr", landlock.RUN)])
    except OSError:
        return False
    return True
