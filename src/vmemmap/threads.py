"""Work on many things by several threads, with the results in the order of the things."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from threading import Lock, Thread
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = ["all_at_once", "in_order", "in_turn"]

T = TypeVar("T")
R = TypeVar("R")


def in_order(
    work: Callable[[T], R], things: Iterable[T], threads: int, name: str = "vmemmap"
) -> Iterator[R]:
    """Run *work* on each thing, a few ahead of the one whose result is yielded.

    Args:
        work: What is done with one; several threads call it at once.
        things: Taken one by one, by the thread that asks for the results.
        threads: How many to use; with one, all is done by the thread that asks.
        name: What the threads are called.

    Yields:
        The results in the order of *things*, whatever the number of threads.
    """
    if threads <= 1:
        yield from map(work, things)
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(threads, thread_name_prefix=name) as pool:
        waiting: deque[Future[R]] = deque()
        try:
            for thing in things:
                waiting.append(pool.submit(work, thing))
                if len(waiting) > 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def in_turn(
    work: Callable[[T], R],
    finish: Callable[[R], None],
    things: Iterable[T],
    threads: int,
    name: str = "vmemmap",
) -> Iterator[None]:
    """Run *work* on each thing, and *finish* on the results in the order of the things.

    A thread that has worked on the thing whose turn it is finishes it, since it is still in its
    processor's cache, and what others have worked on behind it. None of them waits::

        thread 0    work 0            finish 0, 1, 2        work 4    finish 4
        thread 1    work 1    work 2            work 3      finish 3

    Args:
        work: What is done with one; several threads call it at once.
        finish: What is done with the result; called by one thread at a time.
        things: Taken one by one, by the thread that asks.
        threads: How many to use; with one, all is done by the thread that asks.
        name: What the threads are called.

    Yields:
        None after each thing; at the end all are finished.
    """
    finishing, turn = Lock(), 0
    worked: dict[int, R] = {}

    def do(numbered: tuple[int, T]) -> None:
        nonlocal turn
        number, thing = numbered
        worked[number] = work(thing)
        # Whoever finishes looks once more when it has let go. After a failure no turn comes.
        while turn in worked and finishing.acquire(blocking=False):
            try:
                while turn in worked:
                    finish(worked.pop(turn))
                    turn += 1
            finally:
                finishing.release()

    yield from in_order(do, enumerate(things), threads, name)


def all_at_once(work: Callable[[T], R], things: Sequence[T], threads: int) -> list[R]:
    """Run *work*, which waits for a network, on all things, several at a time.

    The threads do not hold up the end of the process, as a pool's would: whoever interrupts it
    while a server is silent does not wait for that.

    Args:
        work: What is done with one; several threads call it at once.
        things: All of them.
        threads: How many at a time.

    Returns:
        The results in the order of *things*.

    Raises:
        BaseException: What *work* raised first; what had not been begun then is given up.
    """
    left = deque(enumerate(things))
    found: dict[int, R] = {}
    failed: list[BaseException] = []

    def take() -> None:
        while True:
            try:
                number, thing = left.popleft()
            except IndexError:
                return
            try:
                found[number] = work(thing)
            except BaseException as error:
                failed.append(error)
                left.clear()
                return

    running = [Thread(target=take, daemon=True) for _ in range(min(threads, len(things)))]
    try:
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
    except BaseException:
        left.clear()
        raise
    if failed:
        raise failed[0]
    return [found[number] for number in range(len(things))]
