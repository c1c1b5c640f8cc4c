"""Package databases behind one protocol, and the sources that missing files come from."""

from guestrepair.packages.base import Damage, Package, PackageDatabase, PackagedFile
from guestrepair.packages.opening import open_database

__all__ = ["Damage", "Package", "PackageDatabase", "PackagedFile", "open_database"]
