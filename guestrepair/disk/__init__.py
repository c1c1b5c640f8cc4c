"""The host's side: what an image file is, whether it is safe, overlays, transactions, undo."""

from guestrepair.disk.examine import examine
from guestrepair.disk.image import Format, Image, Layer
from guestrepair.disk.overlay import Overlay, throwaway
from guestrepair.disk.state import state_directory
from guestrepair.disk.writable import check_writable

__all__ = ["Format", "Image", "Layer", "Overlay", "check_writable", "examine", "state_directory", "throwaway"]
