"""Stands in a browser for `numpy.typing`: the one name that annotations use."""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class NDArray(Generic[T]):
    """Any array."""
