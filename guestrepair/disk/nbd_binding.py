"""libnbd's Python binding, imported when it is first used: help and ``doctor`` go without it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from guestrepair.errors import BindingError
from guestrepair.host_packages import binding_hint


class _Binding:
    """Stands for the module."""

    def __getattr__(self, name: str) -> Any:
        """What the module has of that name.

        Raises:
            BindingError: it cannot be imported.
        """
        try:
            return getattr(importlib.import_module("nbd"), name)
        except ImportError as error:
            raise BindingError(
                f"Python cannot import nbd, libnbd's binding: {error}", hint=binding_hint("nbd")
            ) from error


if TYPE_CHECKING:
    import nbd
else:
    nbd = _Binding()

__all__ = ["nbd"]
