"""guestrepair: offline forensics and repair of Linux guests' disk images.

As a library: ``from guestrepair import scan``; see docs/library.md. What that takes is imported when it
is first asked for, so that ``import guestrepair`` itself costs nothing.
"""

__version__ = "0.2.0"

TYPE_CHECKING = False  # typing is not imported for it: root imports nothing before cli/entry.py has looked
if TYPE_CHECKING:
    from guestrepair.library import Effect as Effect
    from guestrepair.library import Evidence as Evidence
    from guestrepair.library import Finding as Finding
    from guestrepair.library import GuestRepairError as GuestRepairError
    from guestrepair.library import ImageReport as ImageReport
    from guestrepair.library import Inconclusive as Inconclusive
    from guestrepair.library import NotExaminedError as NotExaminedError
    from guestrepair.library import Repair as Repair
    from guestrepair.library import Safety as Safety
    from guestrepair.library import Severity as Severity
    from guestrepair.library import Status as Status
    from guestrepair.library import UsageError as UsageError
    from guestrepair.library import exit_status as exit_status
    from guestrepair.library import inspect as inspect
    from guestrepair.library import scan as scan
    from guestrepair.library import to_json as to_json
    from guestrepair.library import validate as validate

__all__ = [
    "Effect",
    "Evidence",
    "Finding",
    "GuestRepairError",
    "ImageReport",
    "Inconclusive",
    "NotExaminedError",
    "Repair",
    "Safety",
    "Severity",
    "Status",
    "UsageError",
    "__version__",
    "exit_status",
    "inspect",
    "scan",
    "to_json",
    "validate",
]

if not TYPE_CHECKING:  # a type checker is to know that there is nothing else

    def __getattr__(name: str) -> object:
        """A name of the library, imported now (PEP 562)."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from guestrepair import library

        found: object = getattr(library, name)
        globals()[name] = found
        return found


def __dir__() -> list[str]:
    """What there is, imported or not."""
    return sorted({*globals(), *__all__})
