"""PAM: what a service calls, its includes flattened, and the files of the modules.

Sources: pam.conf(5), pam.d(5); Linux-PAM ``libpam/pam_handlers.c`` (a typed include draws in the lines
of its type alone; circles and what lies deeper than 16 files end in an error).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from guestrepair.errors import GuestReadError
from guestrepair.formats.pam import ALL_BAD, PamBroken, PamFile, PamInclude, PamModule, parse_pam
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.fact import Unreadable, attempt, fact, known, parsed

DIRECTORIES = tuple(
    GuestPath(p) for p in ("/etc/pam.d", "/usr/lib/pam.d", "/usr/etc/pam.d", "/usr/share/pam.d")
)
"""Where PAM looks for a service, the administrator's first (pam.conf(5); vendor directories differ)."""

MAX_DEPTH = 16
"""Linux-PAM's PAM_SUBSTACK_MAX_LEVEL."""
MAX_STEPS = 20_000
"""Lines that one service calls and draws in, all includes followed: the real ones have some dozens."""

_SECURITY_PARENTS = tuple(GuestPath(p) for p in ("/usr/lib64", "/lib64", "/usr/lib", "/lib"))


@dataclass(frozen=True, slots=True)
class PamCall:
    """One call of a module: the file that holds the line, the line, and the substacks that it lies in.

    ``substacks`` are the places (``FILE:LINE``) of the substack lines around it, the outermost first.
    """

    file: GuestPath
    module: PamModule
    substacks: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """``FILE:LINE``."""
        return f"{self.file}:{self.module.line}"


@dataclass(frozen=True, slots=True)
class PamLink:
    """One line that draws in another file: which line of which file, and the file (it need not be there)."""

    file: GuestPath
    include: PamInclude
    target: GuestPath

    @property
    def place(self) -> str:
        """``FILE:LINE``."""
        return f"{self.file}:{self.include.line}"


@dataclass(frozen=True, slots=True)
class PamStep:
    """One place of a stack as Linux-PAM puts it together: a module, the head of a substack, or a failure.

    ``module`` is None for a line that always fails (it cannot be read, or draws in what is not there) and
    for the head of a substack, whose ``control`` is empty. ``level`` counts the substacks around it.
    """

    file: GuestPath
    line: int
    type: str
    level: int
    control: str
    module: PamModule | None = None

    @property
    def place(self) -> str:
        """``FILE:LINE``."""
        return f"{self.file}:{self.line}"

    @property
    def is_substack(self) -> bool:
        """True for the head of a substack, which does nothing itself."""
        return self.module is None and not self.control


@dataclass(frozen=True, slots=True)
class PamStack:
    """All that a service calls, in order, its includes followed.

    ``file`` is the service's own, None where it has none. ``calls`` holds all four types as they stand;
    those of one type are its stack. ``missing`` are links whose file is not there, ``endless`` those that
    lead in a circle or deeper than PAM goes. ``malformed`` are file and number of each line that PAM cannot
    read, and takes for a module that always fails. ``texts`` has the content of each file, ``steps``
    what Linux-PAM walks through, all types in one order.
    """

    service: str
    file: GuestPath | None
    calls: tuple[PamCall, ...] = ()
    links: tuple[PamLink, ...] = ()
    missing: tuple[PamLink, ...] = ()
    endless: tuple[PamLink, ...] = ()
    malformed: tuple[tuple[GuestPath, int], ...] = ()
    texts: Mapping[GuestPath, bytes] = field(default_factory=dict)
    steps: tuple[PamStep, ...] = ()

    @property
    def is_empty(self) -> bool:
        """True for a service whose files have no line at all: PAM then takes its service ``other``."""
        return self.file is not None and not (self.calls or self.links or self.malformed)

    def steps_of(self, kind: str) -> list[PamStep]:
        """What Linux-PAM walks through for one type, by this service's own files.

        It gives up at an ``@include`` for all types whose file is not there: one failure is all there is.
        """
        for link in self.missing:
            if not link.include.type:
                return [PamStep(link.file, link.include.line, kind, 0, ALL_BAD)]
        return [step for step in self.steps if step.type in (kind, "")]

    def of(self, kind: str) -> tuple[PamCall, ...]:
        """The stack of one type: auth, account, password or session."""
        return tuple(call for call in self.calls if call.module.type == kind)


def named_file(name: str) -> GuestPath:
    """Where a service's file is expected: as named if absolute, else in the administrator's directory."""
    return GuestPath(name) if name.startswith("/") else DIRECTORIES[0] / name


class Pam:
    """The PAM services of one guest; each file is read when it is first asked for."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        self._files: dict[GuestPath, tuple[bytes, PamFile]] = {}
        self._stacks: dict[str, PamStack | Unreadable] = {}
        self._modules: dict[str, GuestPath | None] = {}

    def service_file(self, name: str) -> GuestPath | None:
        """The file of a service, or None."""
        guest = self._guest
        if "/" in name:
            path = GuestPath(name)
            return path if path.is_absolute() and guest.is_file(path) else None
        return next((d / name for d in DIRECTORIES if guest.is_file(d / name)), None)

    def stack(self, service: str) -> PamStack:
        """What a service does, everything that it includes followed.

        Raises:
            GuestReadError: one of the files cannot be read, or there are more lines than anybody has.
        """
        if service not in self._stacks:
            self._stacks[service] = attempt(lambda: _Flattening(self, service).result(), service)
        return known(self._stacks[service])

    def steps(self, service: str, kind: str) -> list[PamStep]:
        """What Linux-PAM walks through for one type; where the service has nothing of it, ``other``'s.

        Raises:
            GuestReadError: one of the files cannot be read.
        """
        found = self.stack(service).steps_of(kind)
        return found if any(not step.is_substack for step in found) else self.stack("other").steps_of(kind)

    def read(self, path: GuestPath) -> tuple[bytes, PamFile]:
        """A file of the directory, and what its lines are.

        Raises:
            GuestReadError: it cannot be read, or is longer than any real one.
        """
        if path not in self._files:
            data = self._guest.read(path)
            self._files[path] = (data, parsed(parse_pam, data, path))
        return self._files[path]

    def text_of(self, path: GuestPath) -> bytes:
        """The bytes of a file of the directory.

        Raises:
            GuestReadError: it cannot be read, or is longer than any real one.
        """
        return self.read(path)[0]

    @fact
    def security_directories(self) -> tuple[GuestPath, ...]:
        """Directories of PAM modules that this guest has."""
        found: dict[GuestPath, None] = {}
        for parent in _SECURITY_PARENTS:
            for path in (parent / "security", *(d / "security" for d in self._triplets(parent))):
                if self._guest.is_directory(path):
                    found.setdefault(path)
        return tuple(found)

    def _triplets(self, parent: GuestPath) -> Iterator[GuestPath]:
        yield from self._guest.glob(parent, "*-linux-gnu*")
        yield from self._guest.glob(parent, "*-linux-musl*")

    def module_file(self, name: str) -> GuestPath | None:
        """The file of a module, absolute or by its bare name (``$ISA`` stands for nothing here), or None."""
        if name not in self._modules:
            plain = name.replace("/$ISA", "")
            candidates = [GuestPath(plain)]
            if not plain.startswith("/"):
                candidates = [d / plain for d in self.security_directories]
            self._modules[name] = next((p for p in candidates if self._guest.is_file(p)), None)
        return self._modules[name]


class _Flattening:
    """One service being followed through its includes."""

    def __init__(self, pam: Pam, service: str) -> None:
        self._pam = pam
        self._service = service
        self._calls: list[PamCall] = []
        self._links: dict[PamLink, None] = {}
        self._missing: dict[PamLink, None] = {}
        self._endless: dict[PamLink, None] = {}
        self._malformed: dict[tuple[GuestPath, int], None] = {}
        self._texts: dict[GuestPath, bytes] = {}
        self._count = 0
        self._steps: list[PamStep] = []

    def result(self) -> PamStack:
        file = self._pam.service_file(self._service)
        if file is not None:
            self._follow(file, "", (file,), ())
        return PamStack(
            self._service,
            file,
            tuple(self._calls),
            tuple(self._links),
            tuple(self._missing),
            tuple(self._endless),
            tuple(self._malformed),
            self._texts,
            tuple(self._steps),
        )

    def _follow(
        self, path: GuestPath, kind: str, inside: tuple[GuestPath, ...], substacks: tuple[str, ...]
    ) -> None:
        """Take the lines of a file, those of one type alone where ``kind`` is not empty."""
        self._texts[path], parsed = self._pam.read(path)
        self._malformed |= dict.fromkeys((path, number) for number in parsed.malformed)
        for line in parsed.in_order:
            self._count += 1
            if self._count > MAX_STEPS:
                raise GuestReadError(path, f"{self._service} draws in more than {MAX_STEPS} lines")
            if kind and line.type and line.type != kind:
                continue  # of another type than the line that draws it in asks for
            level = len(substacks)
            if isinstance(line, PamModule):
                self._calls.append(PamCall(path, line, substacks))
                self._steps.append(PamStep(path, line.line, line.type, level, line.control, line))
            elif isinstance(line, PamBroken):
                own = line.type or kind or "auth"
                self._steps.append(PamStep(path, line.line, own, level, line.control))
            else:
                self._include(path, line, kind, inside, substacks)

    def _include(
        self,
        path: GuestPath,
        line: PamInclude,
        kind: str,
        inside: tuple[GuestPath, ...],
        substacks: tuple[str, ...],
    ) -> None:
        file = self._pam.service_file(line.file)
        line = replace(line, type=line.type or kind)
        link = PamLink(path, line, file or named_file(line.file))
        self._links.setdefault(link)
        around = (*substacks, link.place) if line.substack else substacks
        types = (line.type,) if line.type else ("auth", "account", "password", "session")
        if line.substack:
            self._steps.append(PamStep(path, line.line, line.type, len(substacks), ""))
        if file is None or file in inside or len(inside) > MAX_DEPTH:
            (self._missing if file is None else self._endless).setdefault(link)
            self._steps += [PamStep(path, line.line, each, len(substacks), ALL_BAD) for each in types]
        else:
            self._follow(file, line.type, (*inside, file), around)
