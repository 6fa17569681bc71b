"""How answers look: a table on a terminal, plain columns in a pipe, JSON where asked. Decides nothing."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

_STYLES = {"error": "31", "good": "32", "warning": "33"}


def say(text: str = "") -> None:
    """One line, or several, on standard output."""
    sys.stdout.write(f"{text}\n")


def fail(text: str) -> None:
    """What is wrong, in red where it is a terminal."""
    sys.stderr.write(f"{styled(text, 'error', sys.stderr.isatty())}\n")


def styled(text: str, style: str, terminal: bool | None = None) -> str:
    """The text in a colour, where there are colours."""
    if not (sys.stdout.isatty() if terminal is None else terminal) or os.environ.get("NO_COLOR"):
        return text
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Rows under a head; nothing where there are none."""
    if not rows:
        return
    if sys.stdout.isatty():
        _rich_table(head, rows)
        return
    widths = [max(len(row[index]) for row in (head, *rows)) for index in range(len(head))]
    for row in (head, *rows):
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def document(value: Any) -> None:
    """The answer as JSON."""
    say(json.dumps(value, indent=2, ensure_ascii=False, default=_plain))


def when(moment: datetime) -> str:
    """A moment as the reader's clock shows it."""
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"


def without_long_digests(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """The same rows with enough of each digest to tell it from others."""
    return [[re.sub(r"(sha256:[0-9a-f]{12})[0-9a-f]{52}", r"\1…", cell) for cell in row] for row in rows]


def short(digest: str) -> str:
    """Enough of a digest to tell it from others."""
    return digest.removeprefix("sha256:")[:12]


def _rich_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    made = Table(*head, box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for row in rows:
        made.add_row(*(Text(cell, overflow="fold") for cell in row))
    Console().print(made)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
