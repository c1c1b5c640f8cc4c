"""The file that would be uploaded: its format, how that lays the disk out, and the disk's size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from guestrepair.analyzers.base import Context, Rule
from guestrepair.analyzers.platform.asking import PAGE, Unmet, cannot_tell, listed, not_met
from guestrepair.formats.tar_header import TarKind
from guestrepair.guest.devices import Disk, ImageFile
from guestrepair.model import Effect, Evidence, Finding, Inconclusive, Repair, Safety, Severity, Subject
from guestrepair.platforms.model import Asked, Platform, asked, of_kind
from guestrepair.platforms.parameters import Container

if TYPE_CHECKING:
    from guestrepair.disk.tarred import Tarred

CONTAINER = Rule(
    name="platform/container",
    summary="the image's file is not one that the platform takes",
    severities=(Severity.WARNING, Severity.ERROR, Severity.NOTE),
    effect=Effect.HYGIENE,
    safeties=(Safety.MANUAL,),
    what="The platform takes other formats (or the same one laid out otherwise: a VHD of fixed size, a"
    " streamOptimized VMDK), the disk's size is no whole number of MiB or GiB as it asks, is larger than it"
    " takes, or the file needs another one behind it. Where it takes a tar archive, that may be given itself:"
    " judged are its kind, its compression, and the name and size of its first file; the disk in it is not"
    " examined, and what follows it in the archive is not looked for.",
    why="The upload or import fails, mostly after all of it was transferred.",
    repair="Convert a copy: the commands are in the finding. The image itself is left as it is.",
    example="a dynamic VHD for Azure",
    sources=(
        "qemu-img(1), -O vpc, vmdk",
        PAGE,
    ),
)
RULES = (CONTAINER,)

_MIB, _GIB = 1 << 20, 1 << 30
_MIB_OF_GIB = 1024
_TITLES = {
    "vpc/fixed": "a VHD of fixed size",
    "vpc/dynamic": "a dynamic VHD",
    "vpc": "a VHD",
    "vhdx": "a VHDX",
    "vmdk": "a VMDK",
    "vmdk/streamOptimized": "a streamOptimized VMDK",
    "raw": "a raw disk",
    "qcow2": "a qcow2",
    "vdi": "a VDI",
}
_MAKING = {
    "vpc/fixed": "qemu-img convert -O vpc -o subformat=fixed,force_size=on IMAGE disk.vhd",
    "vpc/dynamic": "qemu-img convert -O vpc -o subformat=dynamic,force_size=on IMAGE disk.vhd",
    "vhdx": "qemu-img convert -O vhdx IMAGE disk.vhdx",
    "vmdk": "qemu-img convert -O vmdk IMAGE disk.vmdk",
    "vmdk/streamOptimized": "qemu-img convert -O vmdk -o subformat=streamOptimized IMAGE disk.vmdk",
    "raw": "qemu-img convert -O raw IMAGE disk.raw",
    "qcow2": "qemu-img convert -O qcow2 IMAGE disk.qcow2",
    "vdi": "qemu-img convert -O vdi IMAGE disk.vdi",
}


def check(context: Context) -> Iterator[Finding | Inconclusive]:
    """One finding for the first disk, which the guest boots from."""
    wanted = tuple(of_kind(asked(context.platforms, CONTAINER.name), Container))
    disk = next(iter(context.system.block.disks), None)
    unmet: list[Unmet] = []
    for each, container in wanted:
        if disk is None or disk.image is None:
            yield cannot_tell(each, "which file it takes", "nothing is known of the image's file")
            continue
        wishes = list(_sizes(disk.size_bytes, container))
        if disk.image.is_block_device:
            yield _of_device(each)
        else:
            wishes = [*_formats(disk.image, container), *wishes]
        unmet += [Unmet(each, wish) for wish in wishes]
    if disk is not None and disk.image is not None and unmet:
        yield not_met(
            CONTAINER,
            Subject.of_device(disk.name),
            f"the image is {_title(disk.image)}, its disk of {_size(disk.size_bytes)}",
            unmet,
            evidence=[Evidence(disk.host_path, f"{_title(disk.image)}, {disk.size_bytes} bytes", "")],
            repair=Repair("convert a copy: " + "; ".join(_commands(disk, unmet)), Safety.MANUAL),
        )


def of_tar(tarred: Tarred, path: str, platforms: tuple[Platform, ...]) -> Finding | None:
    """What keeps a tar archive with a disk from being what those platforms take; None where it is that."""
    member, unmet = tarred.member, []
    for each, container in _takers(platforms):
        wishes = []
        if tarred.compression != "gzip":
            wishes.append("gzip")
        if member.kind is not TarKind.OLD_GNU:
            wishes.append("the old GNU format of tar")
        if not member.is_file or (member.name and member.name.removeprefix("./") != container.tarred):
            wishes.append(f"{container.tarred} as its first and only file")
        if member.size_bytes == 0:
            wishes.append("a disk that is not empty")
        wishes += _sizes(member.size_bytes or 0, container)
        unmet += [Unmet(each, wish) for wish in wishes]
    if not unmet:
        return None
    what = f"{member.kind.value}, {tarred.compression}, {member.name or 'a file named by an extension'}"
    if member.size_bytes is not None:
        what += f" of {_size(member.size_bytes)}"
    return not_met(
        CONTAINER,
        Subject.of_device("/dev/sda"),
        f"the image is a tar archive ({what})",
        unmet,
        evidence=[Evidence(path, what, "")],
        repair=Repair(f"tar --format=oldgnu -Sczf IMAGE.tar.gz {takes_tar(platforms)}", Safety.MANUAL),
    )


def takes_tar(platforms: tuple[Platform, ...]) -> str:
    """The name of the file that is delivered in a tar archive; "" where none of the platforms takes one."""
    return next((container.tarred for _, container in _takers(platforms)), "")


def _takers(platforms: tuple[Platform, ...]) -> Iterator[tuple[Asked, Container]]:
    found = of_kind(asked(platforms, CONTAINER.name), Container)
    return ((each, container) for each, container in found if container.tarred)


def _of_device(each: Asked) -> Inconclusive:
    return cannot_tell(each, "which file it would be uploaded as", "the image is a block device")


def _formats(image: ImageFile, container: Container) -> Iterator[str]:
    names = {image.format, f"{image.format}/{image.kind}"}
    if not names & set(container.any):
        yield listed([_TITLES[name] for name in container.any])
    if image.layers > 1:
        yield "one file, without a backing file"


def _sizes(size_bytes: int, container: Container) -> Iterator[str]:
    if container.multiple_mib and size_bytes % (container.multiple_mib * _MIB):
        whole = "GiB" if container.multiple_mib == _MIB_OF_GIB else f"{container.multiple_mib} MiB"
        yield f"a size of whole {whole.removeprefix('1 ')}"
    if container.most_gib and size_bytes > container.most_gib * _GIB:
        yield f"at most {container.most_gib} GiB"


def _commands(disk: Disk, unmet: list[Unmet]) -> Iterator[str]:
    found: dict[str, None] = {}
    for each in unmet:
        container = each.asked.requirement.parameters
        if not isinstance(container, Container):
            continue
        unit = container.multiple_mib * _MIB
        if unit and disk.size_bytes % unit:
            whole = -(-disk.size_bytes // unit) * unit
            found[f"qemu-img resize -f raw COPY.raw {whole} (of a raw copy, and sgdisk -e on GPT)"] = None
        found[f"{_MAKING[container.any[0]]} ({each.asked.named})"] = None
    yield from found


def _title(image: ImageFile) -> str:
    return _TITLES.get(f"{image.format}/{image.kind}", _TITLES.get(image.format, image.format))


def _size(size: int) -> str:
    for unit, name in ((_GIB, "GiB"), (_MIB, "MiB")):
        if size % unit == 0:
            return f"{size // unit} {name}"
    return f"{size} bytes"
