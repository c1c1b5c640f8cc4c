"""Sources of packaged files, and the gate that every restored file passes."""

from guestrepair.packages.sources.base import FileSource, Refusal, Resolution, SourcedChange, SourcedFile

__all__ = ["FileSource", "Refusal", "Resolution", "SourcedChange", "SourcedFile"]
