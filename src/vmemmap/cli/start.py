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
    now = time.monotonic()
    if now - _last[0] >= _SECONDS_OF_ONE:
        _last[0] = now
        raise KeyboardInterrupt


def run() -> None:
    """Run the command line; never returns."""
    # Until the command can answer ctrl-C the process just ends by it. Where it is ignored, as under
    # nohup, it stays so.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from vmemmap.cli import main

    try:
        main.run(interrupt)
    except KeyboardInterrupt:  # while an error was being told
        sys.exit(130)
    finally:
        _last[0] = _ENDED  # what comes from here on finds nothing to interrupt
        # All is written or taken away, and Python's own end would show where it was interrupted.
        if signal.getsignal(signal.SIGINT) is interrupt:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
