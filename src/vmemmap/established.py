"""The property that is worked out once, be it to a value or to the error that there is none."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any, Generic, TypeVar, overload

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
        failed = owner.__dict__.setdefault("_not_established", {})
        if self._name in failed:
            raise copy(failed[self._name])
        try:
            value = self._work(owner)
        except FactError as error:
            # Not the error itself: its traceback holds all that was at work on the way to it.
            failed[self._name] = copy(error)
            raise
        # From now on it is found there, without a call.
        owner.__dict__[self._name] = value
        return value
