"""Sources of packaged files, and the gate that every restored file passes."""

from guestrepair.packages.sources.base import FileSource, Refusal, Resolution, SourcedChange, SourcedFile
from guestrepair.packages.sources.deleted import DeletedSource
from guestrepair.packages.sources.directory import CacheSource, DirectorySource
from guestrepair.packages.sources.donor import DonorSource
from guestrepair.packages.sources.fetch import FetchSource
from guestrepair.packages.sources.resolving import resolve_sources
from guestrepair.packages.sources.unpacked import UnpackedSource

__all__ = [
    "CacheSource",
    "DeletedSource",
    "DirectorySource",
    "DonorSource",
    "FetchSource",
    "FileSource",
    "Refusal",
    "Resolution",
    "SourcedChange",
    "SourcedFile",
    "UnpackedSource",
    "resolve_sources",
]
