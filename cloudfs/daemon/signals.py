"""Signals of the daemon: SIGHUP reloads, SIGTERM and SIGINT end the mount.

SIGHUP is also what the closing of a terminal sends. It ends a mount that runs in the foreground of
one, and is ignored where the caller ignores it, as nohup(1) does.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Awaitable, Callable
from typing import Final

import trio

log = logging.getLogger(__name__)

_TERMINAL: Final = "/dev/tty"


async def reload_until_ended(reload: Callable[[], Awaitable[None]], *, background: bool) -> None:
    """Await `reload` at every signal that asks for it; return at the first one that ends."""
    numbers = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    ends = {signal.SIGTERM, signal.SIGINT}
    if not background and _has_terminal():
        ends.add(signal.SIGHUP)
    with trio.open_signal_receiver(*numbers) as received:
        async for number in received:
            if number in ends:
                log.info("%s: ending the mount", signal.Signals(number).name)
                return
            await reload()


def _has_terminal() -> bool:
    try:
        os.close(os.open(_TERMINAL, os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
