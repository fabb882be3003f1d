"""Where the command `lipwire` begins: what is imported takes a second, and Ctrl-C is to end it then without a word."""

from __future__ import annotations

import signal
import sys


def main() -> None:
    """Runs the command. Until it is there, the system ends the process at a SIGINT, as at a SIGTERM."""
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # a job in the background ignores it
    if ours:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from .main import main as run

    try:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        run()
    except KeyboardInterrupt:  # before the command had begun; its own end is its own affair
        sys.exit(130)
