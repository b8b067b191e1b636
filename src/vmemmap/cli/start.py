"""Where the ``vmemmap`` script begins: ctrl-C ends it without a traceback from the first import on.

It loads next to nothing before that; what follows is in ``main.py``.
"""

import signal
import sys
import time
from types import FrameType

_SECONDS_OF_ONE = 1.0
_ENDED = float("inf")
_last = [-_ENDED]


def interrupt(_number: int, _frame: FrameType | None) -> None:
    """Answer ctrl-C, the handler of SIGINT: several within a second are one.

    A second one would come while the first is still being answered, where nothing waits for it.

    Raises:
        KeyboardInterrupt: As Python's own handler.
    """
    if _is_first():
        raise KeyboardInterrupt


def end(number: int, _frame: FrameType | None) -> None:
    """Answer SIGTERM, and SIGHUP, which comes when a terminal or ssh is closed, as ctrl-C is.

    What is half written is taken away. As with ctrl-C, several within a second are one.

    Raises:
        SystemExit: With 128 and the signal's number, as a shell would tell it.
    """
    if _is_first():
        sys.exit(128 + number)


def _is_first() -> bool:
    now = time.monotonic()
    first = now - _last[0] >= _SECONDS_OF_ONE
    if first:
        _last[0] = now
    return first


def run() -> None:
    """Run the command line; never returns."""
    # Until the command can answer ctrl-C the process just ends by it. Where it is ignored, as under
    # nohup, it stays so.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from vmemmap.cli import main

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, end)
    try:
        main.run(interrupt)
    except KeyboardInterrupt:  # while an error was being told
        sys.exit(130)
    finally:
        _last[0] = _ENDED  # what comes from here on finds nothing to interrupt
        # All is written or taken away, and Python's own end would show where it was interrupted.
        if signal.getsignal(signal.SIGINT) is interrupt:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
