"""The appliance, starting in the background: whoever needs it waits for it, everybody else goes on.

A launch is most of what a command takes. Meanwhile the host reads what it can read by itself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from guestrepair import fence
from guestrepair.appliance.call_watch import CallWatch
from guestrepair.appliance.handle import Handle
from guestrepair.appliance.qemu_processes import end_launch_of, end_machines_of

_POLL_SECONDS = 0.05


class Starting:
    """A launch in a thread of its own; the thread stays until the end, for what it started may end with it.

    ``start`` returns libguestfs's handle, launched; ``waiting`` is called when somebody has to wait for it,
    ``prepare`` with the handle in each thread that uses it, ahead of everything else. ``watch`` sees to it
    that calls on the handle come to an end. With ``at_once`` false the launch begins when the handle is
    first asked for.
    """

    left_out = False
    """True where there is no appliance, and none is to be started."""

    def __init__(
        self,
        start: Callable[[Starting], Handle],
        waiting: Callable[[], None],
        prepare: Callable[[Handle], None] = lambda _handle: None,
        watch: CallWatch | None = None,
        *,
        at_once: bool = True,
    ) -> None:
        self.given_up = False
        """Set when the appliance is not wanted any more: a launch that then fails is not tried again."""
        self.unanswered: dict[str, None] = {}
        """Paths and devices that nobody answered for, where there is no appliance."""
        self.asked = False
        """Set when somebody needed an answer: what waits to be done once it runs needs none."""
        self.waited_seconds = 0.0
        """How long others have waited for the appliance."""
        self.watch = watch or CallWatch(self.end_machine)
        self._start = start
        self._waiting = waiting
        self._prepare = prepare
        self._threads = threading.local()
        self._started, self._ended = threading.Event(), threading.Event()
        self._handle: Handle | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="launch", daemon=True)
        self._begun = False
        if at_once:
            self.begin()

    def begin(self) -> None:
        """Start it now, where that was left until somebody asks for it."""
        if not self._begun:
            self._begun = True
            self._thread.start()

    @property
    def begun(self) -> bool:
        """True once the launch has begun: asking the appliance costs no launch any more."""
        return self._begun

    @property
    def started(self) -> bool:
        """True when nobody has to wait any more."""
        return self._started.is_set()

    def handle(self) -> Handle:
        """The handle of the running appliance, waited for; its calls are watched.

        Raises:
            ApplianceError: it does not start.
        """
        fence.check()
        with fence.sheltered():
            self.begin()
            if not self._started.is_set():
                self._wait()
            if self._handle is None:
                raise self._error or AssertionError("neither a handle nor an error")
            if not getattr(self._threads, "prepared", False):
                self._prepare(self._handle)
                self._threads.prepared = True
            return cast("Handle", WatchedHandle(self._handle, self))

    def _wait(self) -> None:
        since = time.monotonic()
        with fence.uncounted():
            self._waiting()
            self._started.wait()
        self.waited_seconds += time.monotonic() - since

    def end_machine(self) -> None:
        """Kill the machine of this launch, and no other; a call that waits for it then fails at once."""
        if self._thread.native_id is not None:
            end_machines_of(self._thread.native_id)

    def end(self) -> None:
        """Close the handle; a launch that is under way is ended, not waited for.

        Nor is a machine that nobody has asked anything asked to shut down.
        """
        self.given_up = True
        if not self._begun:
            return
        while not self._started.wait(_POLL_SECONDS):
            if self._thread.native_id is not None:
                end_launch_of(self._thread.native_id)
        if not self.asked:
            self.end_machine()
        if self._handle is not None:
            self._prepare(self._handle)  # this thread may never have asked it anything
            self.watch.close(self._handle.close)
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        since = time.monotonic()
        try:
            self._handle = self._start(self)
            self.watch.launched(time.monotonic() - since)
        except BaseException as error:  # raised where the handle is asked for
            self._error = error
        finally:
            self._started.set()
        self._ended.wait()


class WatchedHandle:
    """The handle of an appliance that runs: each call on it is watched (see ``call_watch.py``).

    An overrun of a budget waits for the call's end: no answer gets lost.
    """

    def __init__(self, handle: Handle, starting: Starting) -> None:
        self._handle = handle
        self._starting = starting

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._handle, name)
        # What the bindings keep in their object is no call (it is for appliance/raw.py).
        return partial(self.watched, name, found) if callable(found) else found

    def watched(self, name: str, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Call a function that does what the method of that name does, as the method is called."""
        fence.check()
        with fence.sheltered():
            return self._starting.watch.call(name, function, *arguments, **options)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A machine that has ``before`` done ahead of every use: an overrun of a budget waits for its end."""

    starting: Starting
    before: Callable[[], None]

    def handle(self) -> Handle:
        """See :class:`guestrepair.appliance.handle.Machine`."""
        fence.check()
        self.starting.asked = True
        with fence.sheltered():
            handle = self.starting.handle()
            self.before()
            return handle
