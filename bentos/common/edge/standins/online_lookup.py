"""Stands in for `bentos.common.online_lookup`: no feature store is within reach, so records must be whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bentos.common.predictor import refused


class OnlineLookup:
    """A store that refuses every lookup."""

    def __init__(self, *_names: Any, **_more: Any) -> None:
        pass

    def token(self, name: str) -> str:
        """The id as it is: it is looked up nowhere."""
        return name

    def read(self, entities: Mapping[str, Any]) -> dict[str, Any]:
        """Nothing of no entities. Raises `RefusedError` for any."""
        if entities:
            raise refused(503, "(feature store)", "There is none at the edge; send the whole record")
        return {}
