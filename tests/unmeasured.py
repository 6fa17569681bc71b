"""Processes that run without coverage: it doubles the time of whatever imports much, and has nothing to measure in
the code of others."""

from __future__ import annotations

import os

COVERAGE_VARIABLE = "COVERAGE_PROCESS_CONFIG"
"""By which coverage starts in a child."""


def environment() -> dict[str, str]:
    """This process's variables, for a child without coverage."""
    return {name: value for name, value in os.environ.items() if name != COVERAGE_VARIABLE}
