"""Stands in for BentoML: at the edge nothing is served, and a room's class stays the class that it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def service(**_settings: Any) -> Callable[[type], type]:
    """Decorate nothing."""
    return lambda room: room
