"""What a killed repair or undo left behind: gone on with where that is certain, else refused in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from guestrepair.disk.belonging import Fit, Judged, half_written, near, of_image
from guestrepair.disk.image import Image
from guestrepair.disk.manifest import HALF_WRITTEN, UNTOUCHED, Identity, Phase
from guestrepair.disk.record import Record, all_records, recorded_in
from guestrepair.disk.restore import Steps, no_steps, write_back, write_forward
from guestrepair.errors import GuestRepairError, StateError

_FORCE = "'guestrepair undo --force' puts the old content back all the same"


def recover(image: Image, state_dir: Path, *, say: Callable[[str], None], steps: Steps = no_steps) -> None:
    """Clean up after killed repairs of an image, finishing what was being written; needs the image's lock.

    Raises:
        StateError: an interrupted write cannot be finished, or something else has changed the image since.
        ImageError: the image cannot be read or written.
    """
    with recorded_in(state_dir):
        records = all_records(state_dir)
        for record in near(records, image):
            if record.phase in UNTOUCHED:
                drop_untouched(record, image, say)
            elif record.phase is Phase.COMMITTED and record.overlay.exists():
                record.tidy()  # killed between the two
        for judged in half_written(records, image):
            with judged.record.held():
                _finish(judged, image, say, steps)


def drop_untouched(record: Record, image: Image, say: Callable[[str], None]) -> None:
    """Remove the record of a repair that was killed before it changed the image."""
    try:
        with record.held(patience_seconds=0):
            record.remove()
    except StateError:
        return  # of a process that lives: another file had this name when it began
    say(f"{_repair(record, image)} was interrupted before it changed the image: cleaned up")


def _finish(judged: Judged, image: Image, say: Callable[[str], None], steps: Steps) -> None:
    refuse_unless_ours(judged, image)
    repair = _repair(judged.record, image)
    if judged.record.phase is Phase.COMMITTING:
        say(f"{repair} was interrupted while it was written: finishing it")
        write_forward(judged, image, steps=steps)
    else:
        say(f"{repair} was interrupted while it was taken back: going on with that")
        write_back(judged, image, steps=steps)


def refuse_unless_ours(judged: Judged, image: Image) -> None:
    """True afterwards: a half-written record may be followed.

    Raises:
        StateError: it may not; why, and what to do.
    """
    if judged.fit is not Fit.OURS:
        message, hint = _refusal(judged, image)
        raise StateError(message, hint=hint)


def _refusal(judged: Judged, image: Image) -> tuple[str, str]:
    """Why a half-written record is not followed, and what to do."""
    record, manifest = judged.record, judged.record.manifest
    gone = f"if that one is gone for good, remove {record.directory}"
    if judged.fit is Fit.RESTORED:
        message = f"this file is not what the interrupted repair of {manifest.time} left: it holds the old "
        message += "content everywhere; nothing to undo"
        hint = "'guestrepair undo --force' closes the record of that repair, and writes nothing"
    elif judged.fit is Fit.COPY:
        message = f"half written by the repair of {manifest.time}: a copy of {manifest.path}?"
        hint = f"finish or undo that one first, and copy it again; {gone}"
    elif judged.fit is Fit.FOREIGN:
        message = f"not the image whose repair of {manifest.time} was interrupted, but another in its place"
        hint = f"it is left alone: bring that one back, and 'guestrepair undo' takes it back; {gone}"
    else:
        message = f"the repair of {manifest.time} was interrupted while it was {_doing(record)}, and since "
        message += f"then {changed(judged, image)}"
        hint = f"{way_back(judged, image)}; {_FORCE}"
    return f"{image.path}: {message}", hint


def _doing(record: Record) -> str:
    return "written" if record.phase is Phase.COMMITTING else "taken back"


def changed(judged: Judged, image: Image) -> str:
    """What is no longer as it was, in one phrase."""
    manifest = judged.record.manifest
    if manifest.virtual_size_bytes != image.virtual_size_bytes:
        return f"its size has changed from {manifest.virtual_size_bytes} to {image.virtual_size_bytes} bytes"
    if manifest.format != image.format:
        return f"its format has changed from {manifest.format} to {image.format}"
    content = judged.content
    if content.other_at < 0 and content.around:
        return "part of it holds the old content again"
    where = content.other_at if content.other_at >= 0 else content.changed_at
    return f"byte {where} was changed by something else"


def way_back(judged: Judged, image: Image) -> str:
    """What to do about a change, in one phrase."""
    manifest = judged.record.manifest
    if manifest.virtual_size_bytes < image.virtual_size_bytes:
        return f"cut it back (qemu-img resize --shrink) to {manifest.virtual_size_bytes} bytes"
    if manifest.virtual_size_bytes == image.virtual_size_bytes and manifest.format != image.format:
        return f"convert it back (qemu-img convert -O {manifest.format})"
    return "restore it from a backup"


def interrupted(image: Image, state_dir: Path) -> str:
    """One line when the image is half written by a killed repair or undo; empty when it is whole."""
    records = all_records(state_dir)
    if not any(r.phase in HALF_WRITTEN for r in records):
        return ""
    try:
        found = half_written(records, image)
    except GuestRepairError as error:
        return f"{image.path}: whether a repair left it half written cannot be told: {error.message}"
    if not found:
        return ""
    if found[0].fit is not Fit.OURS:
        return "; ".join(_refusal(found[0], image))
    return (
        f"{image.path}: a repair of {found[0].record.manifest.time} was interrupted while it was written: "
        "'guestrepair repair' finishes it, 'guestrepair undo' takes it back"
    )


def predecessor(image: Image, state_dir: Path) -> str:
    """The repair that left the image as it is now; empty when something else wrote to it since."""
    done = [r for r in of_image(all_records(state_dir), image) if r.phase is Phase.COMMITTED]
    return done[-1].manifest.identifier if done and done[-1].manifest.after == Identity.of(image.top) else ""


def _repair(record: Record, image: Image) -> str:
    return f"{image.path}: the repair of {record.manifest.time}"
