"""The host's side: what an image file is, whether it is safe, overlays, transactions, undo."""

from guestrepair.disk.examine import examine
from guestrepair.disk.image import Format, Image, Layer
from guestrepair.disk.manifest import RepairRecord
from guestrepair.disk.overlay import Overlay, throwaway
from guestrepair.disk.prune import Prunable, Wanted, prunable, prune
from guestrepair.disk.recovery import interrupted
from guestrepair.disk.space import watched as watched_space
from guestrepair.disk.state import state_directory
from guestrepair.disk.transaction import CommitRecord, Transaction
from guestrepair.disk.undo import HistoryEntry, UndoResult, history, last_repair, recorded_format, undo
from guestrepair.disk.writable import check_writable

__all__ = [
    "CommitRecord",
    "Format",
    "HistoryEntry",
    "Image",
    "Layer",
    "Overlay",
    "Prunable",
    "RepairRecord",
    "Transaction",
    "UndoResult",
    "Wanted",
    "check_writable",
    "examine",
    "history",
    "interrupted",
    "last_repair",
    "prunable",
    "prune",
    "recorded_format",
    "state_directory",
    "throwaway",
    "undo",
    "watched_space",
]
