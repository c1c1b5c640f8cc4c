"""A tar archive in the place of an image, where a platform takes a disk in one: judged, and not opened."""

from __future__ import annotations

from guestrepair.disk.attach.location import ImageName, Location
from guestrepair.errors import ImageError
from guestrepair.operations.analysis import chosen_analyzers
from guestrepair.operations.options import ImageOptions, ScanOptions
from guestrepair.report.data import ImageReport


def judge_archive(
    path: ImageName, image_options: ImageOptions, options: ScanOptions, report: ImageReport
) -> None:
    """Put into the report what keeps an archive from being what a named platform takes.

    Nothing happens where no platform takes one, the format was said, or the file is something else.

    Raises:
        ImageError: it is an archive: the disk in it is not examined, and how it can be.
        ImageAccessError: it cannot be read.
    """
    analysis = options.analysis
    if isinstance(path, Location) or not analysis.platforms or image_options.input_format is not None:
        return
    from guestrepair.analyzers.platform import ANALYZER
    from guestrepair.analyzers.platform.container import of_tar, takes_tar
    from guestrepair.disk.tarred import read_tarred
    from guestrepair.platforms.chosen import chosen

    platforms = chosen(analysis.platforms, analysis.machine)
    name = takes_tar(platforms)
    if not name or ANALYZER not in chosen_analyzers(options):
        return
    tarred = read_tarred(path)
    if tarred is None:
        return
    found = of_tar(tarred, str(path), platforms)
    report.size_bytes = tarred.member.size_bytes or report.size_bytes
    report.findings = [] if found is None else [found]
    verdict = "is as it is to be" if found is None else "is not as it is to be"
    again = f"guestrepair validate --platform {','.join(analysis.platforms)} {tarred.member.name or name}"
    raise ImageError(
        f"{path}: the tar archive {verdict}; the disk in it was not examined",
        hint=f"unpack it and examine that: tar -xf {path.name} && {again}",
    )
