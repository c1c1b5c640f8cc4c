"""guestrepair: offline forensics and repair of Linux guests' disk images."""

__version__ = "0.1.0"
