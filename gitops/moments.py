"""Moments as people type them: ISO 8601, with a zone or in this machine's own."""

from __future__ import annotations

import re
from datetime import datetime

_DATE = re.compile(r"\d{4}-\d\d-\d\d")


def moment(text: str) -> datetime | None:
    """The moment that a text names, such as 2026-03-01T12:00Z, or None where it names none. A text without a date is
    none, so that neither a model version nor a revision is ever taken for one."""
    if _DATE.match(text) is None:
        return None
    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError:
        return None
