"""A fact about the guest: worked out once, and when it cannot be read, that is what is remembered.

A rule that asks for an unreadable fact is ended by the error, and its part of the analyzer becomes
inconclusive, without a line about it in the rule (:func:`guestrepair.analyzers.base.run_analyzer`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, overload

from guestrepair.errors import FormatError, GuestReadError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands in a collection of facts for one of them that cannot be read: which, and why."""

    path: str
    reason: str

    @classmethod
    def of(cls, error: GuestReadError | FormatError, path: object = "") -> Unreadable:
        """What an error says; ``path`` is for a parser's, which does not know the file's name."""
        if isinstance(error, GuestReadError):
            return cls(error.path, error.reason)
        return cls(str(path), error.message)

    @property
    def error(self) -> GuestReadError:
        """The error to raise where this fact is needed after all."""
        return GuestReadError(self.path, self.reason)


def attempt(read: Callable[[], T], path: object = "") -> T | Unreadable:
    """What ``read`` gives, or that it cannot be had."""
    try:
        return read()
    except (GuestReadError, FormatError) as error:
        return Unreadable.of(error, path)


def parsed(parse: Callable[[bytes], T], data: bytes, path: object) -> T:
    """What a parser makes of the content of a file.

    Raises:
        GuestReadError: it refuses that; the parser does not know the file's name, this error has it.
    """
    try:
        return parse(data)
    except FormatError as error:
        raise GuestReadError(str(path), error.message) from error


def known(value: T | Unreadable) -> T:
    """The value.

    Raises:
        GuestReadError: it is unreadable.
    """
    if isinstance(value, Unreadable):
        raise value.error
    return value


class fact(Generic[T]):  # noqa: N801 - used as a decorator, like property
    """A property that is worked out at its first use; its error, too, is kept, and raised each time."""

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self._compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, _owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> fact[T]: ...

    @overload
    def __get__(self, instance: object, owner: type) -> T: ...

    def __get__(self, instance: object | None, owner: type) -> fact[T] | T:
        if instance is None:
            return self
        kept: dict[str, T | Unreadable] = instance.__dict__.setdefault("_facts", {})
        if self._name not in kept:
            kept[self._name] = attempt(lambda: self._compute(instance), self._name)
        return known(kept[self._name])
