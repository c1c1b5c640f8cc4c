"""What the boot loader can start, and the kernels that are installed."""

from __future__ import annotations

from guestrepair.events.secrets import MASK, masked
from guestrepair.formats.kernel_cmdline import CommandLine, Parameter
from guestrepair.inventory import model
from guestrepair.inventory.accounts import Lost
from guestrepair.system.boot_loader.model import Default, Entry
from guestrepair.system.guest_system import System


def boot(system: System, lost: Lost) -> model.Boot:
    """The entries of the boot loader in the menus' order, and the one that is started by itself."""
    loader = system.boot_loader
    for unread in loader.unread_menus:
        lost(f"{unread.path}: {unread.reason}")
    default = loader.default
    chosen = None if default is None else default.entry
    return model.Boot(
        default=None if default is None else default_title(default),
        chosen_by="" if default is None else default.why,
        entries=tuple(
            model.BootEntry(
                title=title(entry),
                default=entry is chosen or entry == chosen,
                kernel="" if entry.entry.kernel is None else entry.entry.kernel.text,
                initramfs=tuple(word.text for word in entry.entry.initrds),
                arguments=shown_arguments(entry.entry.cmdline),
                loader=entry.kind.value,
                place=entry.place,
            )
            for entry in loader.entries
        ),
        unified=tuple(map(str, loader.unified)),
    )


def title(entry: Entry) -> str:
    """What the menu calls an entry, with the submenus that it is in."""
    return " > ".join((*entry.entry.parents, entry.entry.title or str(entry.path)))


def default_title(default: Default) -> str:
    """What is started: an entry's title, a name that no entry has, or that it is no kernel."""
    return default.entry.entry.title if default.entry is not None else default.missing or "no kernel"


def arguments(cmdline: CommandLine) -> str:
    """A kernel command line as one text, with whatever secrets are in it: to be compared, not shown."""
    return " ".join(map(_text_of, cmdline.parameters))


def shown_arguments(cmdline: CommandLine) -> str:
    """A kernel command line as one text, what looks like a secret masked."""
    return " ".join(map(_masked, cmdline.parameters))


def _text_of(parameter: Parameter) -> str:
    return parameter.name if parameter.value is None else f"{parameter.name}={parameter.value}"


def _masked(parameter: Parameter) -> str:
    shown = masked(_text_of(parameter))
    # A secret may hold blanks and commas, where prose would end it; a parameter's value is one whole.
    secret = f"{parameter.name}={MASK}"
    return secret if shown.startswith(secret) else shown


def kernels(system: System) -> tuple[model.Kernel, ...]:
    """Every release that has modules, or an image in /boot."""
    default = system.boot_loader.default
    entry = None if default is None else default.entry
    word = None if entry is None else entry.entry.kernel
    booted = None if entry is None or word is None else system.boot_loader.find(word, entry)
    return tuple(
        model.Kernel(
            release=kernel.release,
            default=booted is not None and booted == kernel.image,
            image=_text(kernel.image),
            initramfs=_text(kernel.initramfs),
            modules=_text(kernel.modules),
        )
        for kernel in system.kernels.installed
    )


def _text(path: object) -> str | None:
    return None if path is None else str(path)
