"""Stands in for pydantic-core: the two names that contracts and the prediction pipeline take from it."""

from __future__ import annotations

from typing import Any

ErrorDetails = dict[str, Any]


class PydanticCustomError(ValueError):
    """A validator's refusal: its type, and its message."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.type = kind
