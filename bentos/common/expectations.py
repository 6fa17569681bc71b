"""What rooms' Great Expectations suites share. For training only."""

from __future__ import annotations

from typing import Any


def because(why: str) -> dict[str, Any]:
    """The reason for an expectation, to be spread into its arguments; the reports show it."""
    return {"meta": {"why": why}}
