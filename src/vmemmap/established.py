"""The property that is worked out once, be it to a value or to the error that there is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast, overload

from vmemmap.errors import FactError

T = TypeVar("T")


class established(Generic[T]):  # noqa: N801 (used like functools.cached_property)
    """A property worked out once: the value is kept, and so is the FactError if there is none.

    ``functools.cached_property`` would try again at every use, which for a search through all of a
    dump's memory is not to be had.
    """

    def __init__(self, work: Callable[[Any], T]) -> None:
        self._work = work
        self._name = work.__name__
        self.__doc__ = work.__doc__

    @overload
    def __get__(self, owner: None, kind: type) -> established[T]: ...
    @overload
    def __get__(self, owner: object, kind: type) -> T: ...
    def __get__(self, owner: object | None, kind: type) -> T | established[T]:
        if owner is None:
            return self
        kept = owner.__dict__.setdefault("_established", {})
        if self._name not in kept:
            try:
                kept[self._name] = (self._work(owner), None)
            except FactError as error:
                kept[self._name] = (None, error)
                raise
        value, failed = kept[self._name]
        if failed is not None:
            raise failed.with_traceback(None)
        return cast(T, value)
