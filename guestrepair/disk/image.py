"""What a disk image is, as plain frozen data: its format, its layers, its size."""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from guestrepair.disk.attach.location import ImageName

JsonObject: TypeAlias = dict[str, object]


class Format(enum.StrEnum):
    """The formats that are opened, under qemu's names."""

    RAW = "raw"
    QCOW2 = "qcow2"
    VMDK = "vmdk"
    VPC = "vpc"
    VHDX = "vhdx"
    VDI = "vdi"

    @property
    def display(self) -> str:
        """The name that people use."""
        return (
            "VHD"
            if self is Format.VPC
            else self.value
            if self in (Format.RAW, Format.QCOW2)
            else self.value.upper()
        )


@dataclass(frozen=True, slots=True)
class Layer:
    """One file of a backing chain: real path, format, and the data files that belong to it.

    ``data_file`` is a qcow2's external data file, ``extents`` the files of a
    split VMDK as (name in the descriptor, real path). ``read_only`` says why qemu
    cannot write to it; empty when it can. ``virtual_size_bytes`` is what its header
    says, None where only qemu can tell. ``doubtful`` are those of its data files that a header names, and
    neither the user nor their own names say to be this image's: they are read, and not written. ``kind`` is
    how a format that has several ways lays it out ("fixed", "streamOptimized"). ``is_socket``: not a file,
    but a socket that gives out its bytes by NBD.
    """

    path: Path
    format: Format
    is_block_device: bool = False
    data_file: Path | None = None
    extents: tuple[tuple[str, Path], ...] = ()
    read_only: str = ""
    virtual_size_bytes: int | None = None
    doubtful: tuple[Path, ...] = ()
    kind: str = ""
    is_socket: bool = False

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file of this layer."""
        return (
            self.path,
            *(() if self.data_file is None else (self.data_file,)),
            *(p for _, p in self.extents),
        )


@dataclass(frozen=True, slots=True)
class Image:
    """A disk image that may be opened: everything that it leads to was looked at and is allowed.

    ``path`` is as the user gave it (nothing to open it by, where it is a :class:`Location`); ``layers``
    begin with the image itself and end with the last backing file. Sizes are in bytes.
    """

    path: ImageName
    format: Format
    virtual_size_bytes: int
    allocated_bytes: int
    is_block_device: bool
    layers: tuple[Layer, ...]
    warnings: tuple[str, ...] = ()

    @property
    def top(self) -> Layer:
        """The layer that is the image itself."""
        return self.layers[0]


def block_node(layer: Layer, file: Path, data_file: Path | None, backing: JsonObject | None) -> JsonObject:
    """qemu's block device options for a layer, with nothing left to its guesses.

    ``file`` and ``data_file`` are the names to open it by; ``backing`` is the
    node under it (None: none, whatever the header says).
    """
    driver = "host_device" if layer.is_block_device else "file"
    below: JsonObject = {"driver": driver, "filename": str(file)}
    if layer.is_socket:
        below = {"driver": "nbd", "server": {"type": "unix", "path": str(file)}}
    node: JsonObject = {"driver": layer.format.value, "file": below}
    if data_file is not None:
        node["data-file"] = {"driver": "file", "filename": str(data_file)}
    if layer.format in (Format.QCOW2, Format.VMDK):
        node["backing"] = backing
    return node


def json_name(node: JsonObject) -> str:
    """The ``json:`` pseudo file name of a node, as every qemu tool takes it."""
    return "json:" + json.dumps(node, separators=(",", ":"))
