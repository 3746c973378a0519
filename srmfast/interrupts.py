"""Interrupts that wait: what is being done is written down, or at least left in order, before it is given up."""

import contextlib
import signal
import threading

_waiting = []  # one flag for each piece of work that wants to be asked, not interrupted


@contextlib.contextmanager
def deferred():
    """Hold back the first interrupt of a command, a notebook's cell or a console's line while the body runs.

    Yields
    ------
    callable
        Whether an interrupt waits: the body should ask often, write down what it has and raise KeyboardInterrupt.

    Raises
    ------
    KeyboardInterrupt
        After the body, when an interrupt still waits.
    """
    asked = [False]
    _waiting.append(asked)
    try:
        with _handled():
            yield lambda: asked[0]
    finally:
        _waiting[:] = [flag for flag in _waiting if flag is not asked]
    if asked[0]:
        raise KeyboardInterrupt


def postpone():
    """Let an interrupt wait if somebody asked for that and none waits yet; called by signal handlers.

    Returns
    -------
    bool
        Whether it waits; otherwise it has to interrupt.
    """
    if not _waiting or _waiting[-1][0]:
        return False
    _waiting[-1][0] = True
    return True


@contextlib.contextmanager
def _handled():
    """Take the place of Python's own handler of Ctrl-C, and of no other: commands bring theirs, and programs may."""
    main = threading.current_thread() is threading.main_thread()  # the only one that may set handlers
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return

    def interrupt(signum, frame):
        if not postpone():
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
