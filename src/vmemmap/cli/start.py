"""Where the ``vmemmap`` script begins: ctrl-C ends it without a traceback from the first import on.

It loads nothing but ``signal`` before that; what follows is in ``main.py``.
"""

import signal
import sys


def run() -> None:
    """Run the command line; never returns."""
    # Until the command can answer ctrl-C the process just ends by it. Where it is ignored, as under
    # nohup, it stays so.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from vmemmap.cli import main

    try:
        main.run()
    except KeyboardInterrupt:  # while an error was being told
        sys.exit(130)
    finally:
        # All is written or taken away, and Python's own end would show where it was interrupted.
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
