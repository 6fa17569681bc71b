"""Waiting for what comes about soon, with a deadline, where a test would else sleep and hope."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

SECONDS = 120
PAUSE_SECONDS = 0.05

T = TypeVar("T")


def eventually(what: str | Callable[[], str], condition: Callable[[], T | None], seconds: float = SECONDS) -> T:
    """What `condition` returns as soon as that is true. Fails the test with `what`, as it is then, after so long."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"Not within {seconds:g} seconds: {what if isinstance(what, str) else what()}")
        time.sleep(PAUSE_SECONDS)
    return found
