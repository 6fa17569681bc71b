"""Stands in for `bentos.common.masking`: the mark alone. Nothing is logged at the edge, so nothing has to be masked."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PII:
    """Marks a field as personal data."""

    kind: str
    label: str = "hash"
