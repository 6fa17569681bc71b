"""Stands in for `bentos.common.service`: there is no server at the edge, and so nothing to set."""

from __future__ import annotations

from typing import Any

SETTINGS: dict[str, Any] = {}
PredictionService = None
