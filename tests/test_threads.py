"""Work by several threads, finished in order."""

from __future__ import annotations

import random
import threading
import time

import pytest

from vmemmap.threads import in_turn

THREADS = (1, 2, 5)


class Finished:
    """Takes results one at a time, and tells when another comes meanwhile."""

    def __init__(self, fails_at: int = -1) -> None:
        self.results: list[int] = []
        self._fails_at, self._lock = fails_at, threading.Lock()

    def __call__(self, result: int) -> None:
        assert self._lock.acquire(blocking=False), "two at a time"
        try:
            time.sleep(random.random() / 2000)
            if result == self._fails_at:
                raise ValueError("full")
            self.results.append(result)
        finally:
            self._lock.release()


def work_on(number: int) -> int:
    """Take some time, however late others are."""
    time.sleep(random.random() / 1000)
    return number * 10


@pytest.mark.parametrize("threads", THREADS)
def test_all_is_finished_in_order_and_one_at_a_time(threads: int) -> None:
    finished = Finished()
    steps = list(in_turn(work_on, finished, range(300), threads))
    assert finished.results == [number * 10 for number in range(300)]
    assert len(steps) == 300


@pytest.mark.parametrize("threads", THREADS)
def test_who_is_slow_holds_up_what_is_behind(threads: int) -> None:
    finished, begun = Finished(), []

    def work(number: int) -> int:
        begun.append(number)
        if number == 3:
            time.sleep(0.05)
            assert finished.results == [0, 1, 2]
            assert len(begun) <= 4 + 2 * threads + 1, "as many wait as memory has room for"
        return number

    list(in_turn(work, finished, range(20), threads))
    assert finished.results == list(range(20))


@pytest.mark.parametrize("threads", THREADS)
def test_what_fails_ends_it(threads: int) -> None:
    def work(number: int) -> int:
        if number == 40:
            raise KeyError("lost")
        return work_on(number)

    finished = Finished()
    with pytest.raises(KeyError, match="lost"):
        list(in_turn(work, finished, range(100), threads))
    assert finished.results == [number * 10 for number in range(40)]
    finished = Finished(fails_at=200)
    with pytest.raises(ValueError, match="full"):
        list(in_turn(work_on, finished, range(100), threads))
    assert finished.results == [number * 10 for number in range(20)]


@pytest.mark.parametrize("threads", THREADS)
def test_whoever_asks_may_give_up(threads: int) -> None:
    finished = Finished()
    for steps, _ in enumerate(in_turn(work_on, finished, range(10000), threads)):
        if steps == 20:
            break
    assert finished.results == [number * 10 for number in range(len(finished.results))]
    assert len(finished.results) < 100
    assert threading.active_count() < 20
