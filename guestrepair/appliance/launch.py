"""Starting and stopping libguestfs's appliance: one launch a command."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from guestrepair.appliance import raw
from guestrepair.appliance.acceleration import Acceleration, Verdict, acceleration, distrust_kvm
from guestrepair.appliance.background import Starting
from guestrepair.appliance.cache import cache_directory
from guestrepair.appliance.fast_build import FastAppliance, fast_appliance
from guestrepair.appliance.handle import Handle, message
from guestrepair.appliance.hypervisor import hypervisor
from guestrepair.appliance.left_out import LeftOut
from guestrepair.appliance.qemu_processes import Limit
from guestrepair.appliance.saved_machine import RESUME_SECONDS, SavedMachine, locked_at_once
from guestrepair.appliance.toolbox import drive_label
from guestrepair.confine.cage import Cage
from guestrepair.confine.process import confinement, wrapped
from guestrepair.disk.overlay import files_under
from guestrepair.disk.tempdirs import default_parent, private_directory
from guestrepair.errors import ApplianceError
from guestrepair.host_packages import binding_hint

MEMORY_MEGABYTES = 1024
"""Enough for fsck of large filesystems and for the usual argon2id keys of LUKS2."""

KERNEL_ARGUMENTS = "gpt mitigations=off init_on_alloc=0"
"""``gpt``: without it Linux reads no GPT whose first copy or protective record is damaged, and those
are guests to repair. ``mitigations=off``, ``init_on_alloc=0``: nothing in the appliance is to be kept from
anything else in it, and under emulation each costs a tenth of its speed."""

KVM_SECONDS = 60.0
"""How long a launch under KVM may take before KVM is taken for broken: it is over in seconds, or hangs."""

UNPROVEN_SECONDS = 180.0
"""How long the very first launch of an appliance of our own may take before it is given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drive:
    """One drive of the appliance: always an overlay of our own making, so qcow2, never the image itself."""

    overlay: Path
    sector_bytes: int = 512


def device_name(index: int) -> str:
    """The appliance's name of the index-th drive (0-based): /dev/sda … /dev/sdz, /dev/sdaa …"""
    letters = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        letters = chr(ord("a") + rest) + letters
    return f"/dev/sd{letters}"


class CallCount:
    """How many calls into libguestfs were made on a handle after its launch."""

    def __init__(self) -> None:
        self.count = 0

    def called(self, _event: int, _handle: int, name: str | bytes, _numbers: object) -> None:
        """An event callback (guestfs(3), "GUESTFS_EVENT_ENTER"); newer bindings give the name as bytes."""
        if not os.fsdecode(name).startswith("internal_"):  # the part of a call that is counted already
            self.count += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchOptions:
    """How to launch: ``stock`` keeps to libguestfs's own appliance; ``note`` and ``progress`` get lines.

    ``throwaway`` says that nothing on the overlays is wanted afterwards: nothing is flushed at the end.
    ``at_once`` false: the launch begins when the appliance is first needed; ``left_out``: there is none, and
    nothing of libguestfs is looked for. ``count`` is told of the calls.
    """

    stock: bool = False
    left_out: bool = False
    throwaway: bool = False
    at_once: bool = True
    count: CallCount | None = None
    note: Callable[[str], None] = lambda _message: None
    progress: Callable[[str], None] = lambda _message: None


@contextlib.contextmanager
def launched(drives: Sequence[Drive], options: LaunchOptions) -> Iterator[Starting]:
    """The appliance, starting with the drives added in order; closed at the end whatever happens.

    ``options.note`` gets the line that says which acceleration is used, when that was found out just now.

    Raises:
        ApplianceError: libguestfs is not installed. That the appliance does not start is raised
            where its handle is asked for.
    """
    if options.left_out:
        yield LeftOut()
        return
    verdict = acceleration()
    _say(verdict, options)
    _bindings()
    if options.at_once:
        options.progress("starting the appliance")
    with private_directory(_where_programs_run()) as home:
        starting = Starting(
            lambda this: _started(this, _Machine(drives, verdict, options, home)),
            lambda: options.progress("waiting for the appliance to start"),
            raw.keep_errors_quiet,
            at_once=options.at_once,
        )
        try:
            yield starting
        finally:
            starting.end()


def _where_programs_run() -> Path:
    """A parent for private directories that is not mounted noexec, as hardened hosts mount /var/tmp."""
    usual = default_parent()
    with contextlib.suppress(OSError):
        if os.statvfs(usual).f_flag & os.ST_NOEXEC:
            return cache_directory()
    return usual


@dataclass(frozen=True, slots=True)
class _Machine:
    """What an appliance is started with; its temporary files go into the private directory ``home``."""

    drives: Sequence[Drive]
    verdict: Verdict
    options: LaunchOptions
    home: Path


def _say(verdict: Verdict, options: LaunchOptions) -> None:
    if verdict.fresh and verdict.reason:
        options.note(f"{verdict.reason}: using software emulation, which is slower")


def _started(this: Starting, machine: _Machine) -> Handle:
    """A launched handle: of the fast appliance or the stock one, under KVM or, where that fails, without it.

    Raises:
        ApplianceError: it does not start, or is not wanted any more.
    """
    failed: list[FastAppliance] = []
    try:
        handle = _fast(this, machine, failed) if not machine.options.stock else None
        if handle is None and this.given_up:
            raise ApplianceError("the appliance is not wanted any more")
        if handle is None:
            handle = _stock(machine)
            for appliance in failed:  # and not where nothing starts: then it is the host, or its full disk
                appliance.failed()
        if machine.options.count is not None:
            handle.set_event_callback(machine.options.count.called, _bindings().EVENT_ENTER)
        return handle
    except ApplianceError:
        if machine.verdict.acceleration is not Acceleration.KVM or this.given_up:
            raise
    verdict = Verdict(Acceleration.TCG, "the appliance does not start under KVM", fresh=True)
    _say(verdict, machine.options)
    handle = _started(this, replace(machine, verdict=verdict))
    distrust_kvm(verdict.reason)  # and not where nothing starts, whatever the reason
    return handle


def _stock(machine: _Machine) -> Handle:
    handle = _new_handle(machine)
    try:
        cache = Path(handle.get_cachedir()) / f".guestfs-{os.geteuid()}"
        fixed = [Path(part) for part in handle.get_path().split(":") if part]
        _confine(handle, machine, [cache, *fixed])
        with Limit(_patience(machine.verdict)):
            _launch(handle)
    except BaseException:
        handle.close()
        raise
    return handle


def _patience(verdict: Verdict) -> float | None:
    """Seconds that a launch may take: under KVM a guest may hang for ever, emulated it may just be slow."""
    return KVM_SECONDS if verdict.acceleration is Acceleration.KVM else None


def _fast(this: Starting, machine: _Machine, failed: list[FastAppliance]) -> Handle | None:
    """The fast appliance, running; None when there is none, or it does not start: it is then in ``failed``.

    Raises:
        ApplianceError: the appliance is not wanted any more, or it hangs under KVM.
    """
    verdict, options = machine.verdict, machine.options
    appliance = _appliance(this, machine)
    if appliance is None:
        return None
    unresumed: list[SavedMachine] = []
    handle = _resumed(this, machine, appliance, unresumed)
    if handle is not None:
        return handle
    limit = Limit(_patience(verdict) or (None if appliance.proven else UNPROVEN_SECONDS))
    try:
        handle = _launched(machine, appliance, limit)
    except ApplianceError as error:
        if this.given_up or (limit.reached and verdict.acceleration is Acceleration.KVM):
            raise
        options.note(f"the faster appliance does not start, using libguestfs's own ({error.message})")
        if not appliance.proven:
            failed.append(appliance)
        return None
    if not appliance.proven:
        appliance.prove()
    for saved in unresumed:  # and not where nothing starts, whatever the reason
        saved.give_up()
    return handle


def _appliance(this: Starting, machine: _Machine) -> FastAppliance | None:
    """The fast appliance, built now where it is not in the cache; None where it cannot be had."""
    handle = _new_handle(machine)
    try:
        version = ".".join(str(part) for part in handle.version().values())
        return fast_appliance(handle.get_path(), version, machine.options.progress, lambda: not this.given_up)
    finally:
        handle.close()


def _resumed(
    this: Starting, machine: _Machine, appliance: FastAppliance, unresumed: list[SavedMachine]
) -> Handle | None:
    """The fast appliance, resumed where it was saved; None where it is to boot: it is then in ``unresumed``
    where that was tried.

    Raises:
        ApplianceError: the appliance is not wanted any more.
    """
    with contextlib.closing(_new_handle(machine)) as handle:
        saved = SavedMachine(appliance.directory, hypervisor(handle))
    if machine.verdict.acceleration is not Acceleration.TCG or not appliance.proven or saved.given_up:
        return None
    if not confinement():  # then nothing is there that could change what libguestfs starts
        return None
    variant = saved.variant() or _saved_now(this, machine, appliance, saved)
    if variant is None or this.given_up:
        return None
    try:
        return _launched(machine, appliance, Limit(RESUME_SECONDS), variant=variant)
    except ApplianceError:
        if this.given_up:
            raise
        unresumed.append(saved)
        return None


def _saved_now(
    this: Starting, machine: _Machine, appliance: FastAppliance, saved: SavedMachine
) -> Mapping[str, Any] | None:
    """Save a machine, if nobody else does so at the moment; None where there is none to resume."""
    with contextlib.suppress(OSError), locked_at_once(appliance.directory / "saving.lock") as alone:
        if not alone or saved.variant() is not None:
            return saved.variant()
        machine.options.progress("saving a started appliance (once; it takes some seconds)")
        line = machine.home / "line.json"
        with contextlib.suppress(ApplianceError):  # it is recorded, and not started
            _launched(machine, appliance, Limit(None), record=line).close()
        try:
            saved.save(json.loads(line.read_text()), machine.home, lambda: not this.given_up)
        except (OSError, ValueError):  # nothing was recorded
            if not this.given_up:
                saved.give_up()
    return saved.variant()


def _launched(
    machine: _Machine,
    appliance: FastAppliance,
    limit: Limit,
    *,
    variant: Mapping[str, Any] | None = None,
    record: Path | None = None,
) -> Handle:
    """The fast appliance, running.

    Raises:
        ApplianceError: it does not start, or was only to be recorded.
    """
    handle = _new_handle(machine)
    try:
        handle.set_path(str(appliance.directory))
        _confine(handle, machine, [appliance.directory], variant=variant, record=record)
        with limit:
            _launch(handle)
    except BaseException:
        handle.close()
        raise
    return handle


def _bindings() -> Any:
    """libguestfs's Python module.

    Raises:
        ApplianceError: it is not installed.
    """
    try:
        import guestfs
    except ImportError as error:
        raise ApplianceError(
            f"Python cannot import guestfs, libguestfs's binding: {error}", hint=binding_hint("guestfs")
        ) from error
    return guestfs


def _confine(
    handle: Handle,
    machine: _Machine,
    appliance: Sequence[Path],
    *,
    variant: Mapping[str, Any] | None = None,
    record: Path | None = None,
) -> None:
    """The appliance's qemu can open the overlays, what lies under them, and the appliance: nothing else."""
    overlays = [drive.overlay for drive in machine.drives]
    under = {file for overlay in overlays for file in files_under(overlay)}
    qemu = hypervisor(handle)
    cage = Cage(read=(*sorted(under), *appliance), write=(*overlays, machine.home), run=(qemu,), machine=True)
    program = wrapped(qemu, cage=cage, directory=machine.home, variant=variant, record=record)
    handle.set_hv(str(program))


def _new_handle(machine: _Machine) -> Handle:
    handle = cast("Handle", _bindings().GuestFS(python_return_dict=True, close_on_exit=True))
    # The direct backend: no libvirt daemon between us and qemu, and no polkit question at night.
    handle.set_backend("direct")
    processors = min(2, os.cpu_count() or 1)
    if machine.verdict.acceleration is Acceleration.TCG:
        handle.set_backend_setting("force_tcg", "1")
        # What runs inside runs one after another; a second emulated processor only costs (measured: a fifth).
        processors = 1
    handle.set_smp(processors)
    handle.set_memsize(MEMORY_MEGABYTES)
    handle.set_network(False)
    handle.set_autosync(not machine.options.throwaway)
    handle.set_tmpdir(str(machine.home))
    handle.set_append(KERNEL_ARGUMENTS)
    for index, drive in enumerate(machine.drives):
        label = drive_label(device_name(index))
        how: dict[str, Any] = {"format": "qcow2", "cachemode": "unsafe", "label": label}
        if drive.sector_bytes != 512:
            how["blocksize"] = drive.sector_bytes
        handle.add_drive_opts(str(drive.overlay), **how)
    return handle


def _launch(handle: Handle) -> None:
    try:
        handle.launch()
    except RuntimeError as error:
        raise ApplianceError(
            f"libguestfs's appliance does not start: {message(error)}",
            hint="run libguestfs-test-tool to see why; a readable kernel in /boot is needed "
            "(Debian: linux-image-cloud-amd64)",
        ) from error


def shut_down(handle: Handle) -> None:
    """End the appliance with all writes on the overlays.

    Raises:
        ApplianceError: the last writes failed; the overlays must not be used.
    """
    try:
        handle.shutdown()
    except RuntimeError as error:
        raise ApplianceError(f"the last writes to the overlay failed: {message(error)}") from error
