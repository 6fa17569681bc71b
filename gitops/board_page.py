"""The board as one HTML page that loads nothing and needs no script; whatever git holds is shown as text. Reads nothing
of git itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import zip_longest
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from bakehouse.errors import ConfigurationError
from gitops import stores
from gitops.board import Board, Happening, ModelBoard
from gitops.git import hide_credentials
from gitops.markdown import visible
from gitops.proposal import facts, rollback_command

TEMPLATE = Path(__file__).with_name("board.html.jinja")
COLUMNS = 12

ReportLink = Callable[[str, str], str]


@dataclass(frozen=True)
class Bar:
    """What a model's strip shows of one environment from one column (counted from 1) up to another: a model version,
    none where it was removed, or a hold."""

    begin: int
    end: int
    kind: str
    model_version: int | None


def page(board: Board, repository: str, report_link: ReportLink) -> str:
    """The page. `repository` is its address, of which neither credentials nor a folder of this
    machine are shown; `report_link` gives a report's address by its name and
    digest, or nothing where there is none."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_shown
    )
    environment.filters |= {
        "minute": lambda moment: f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC",
        "machine": lambda moment: moment.astimezone(UTC).isoformat(timespec="seconds"),
        "name": lambda author: author.split(" <")[0],
        "facts": facts,
        "figure": lambda figure: figure if isinstance(figure, str) else f"{figure:.6g}",
    }
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        board=board,
        repository=Path(repository).name if Path(repository).is_dir() else hide_credentials(repository),
        report_link=report_link,
        rollback=rollback_command,
        strip=strip,
    )


def links_from(file: Path, address: str | None) -> ReportLink:
    """How a page at `file` names reports: under `address` where one is given, else by the relative path to this
    machine's own, and not at all where it has none."""

    def under_address(name: str, digest: str) -> str:
        suffix = PurePosixPath(name).suffix
        return f"{(address or '').rstrip('/')}/{digest.removeprefix('sha256:')}{quote(suffix)}"

    def on_this_machine(_: str, digest: str) -> str:
        path = stores.report(digest)
        return quote(os.path.relpath(path, file.resolve().parent)) if path.is_file() else ""

    return on_this_machine if address is None else under_address


def write(text: str, file: Path) -> None:
    """Write the page whole or not at all, so that whoever serves the file never shows half of one. Raises
    `ConfigurationError` where it can't be written."""
    made = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        made.write_text(text, encoding="utf-8")
        made.replace(file)
    except OSError as error:
        with suppress(OSError):
            made.unlink()
        raise ConfigurationError(f"{file} can't be written: {error.strerror}.", "Name another file.") from error


def strip(model: ModelBoard) -> tuple[int, list[tuple[str, list[Bar]]]]:
    """How many columns there are, one for each of the newest happenings in any environment, oldest first; and each
    environment's bars."""
    newest = sorted((it for lane in model.lanes for it in lane.happenings), key=lambda it: it.number)[-COLUMNS:]
    column = {(it.place, it.number): index for index, it in enumerate(newest, 1)}
    rows = []
    for lane in model.lanes:
        oldest_first = lane.happenings[::-1]
        bars = [*_spans(oldest_first, column, len(newest)), *_held(oldest_first, column, len(newest))]
        rows.append((lane.place.environment, bars))
    return len(newest), rows


def _spans(happenings: tuple[Happening, ...], column: dict[tuple[Any, int], int], columns: int) -> Iterator[Bar]:
    """What was released; what began before the first column begins there."""
    changes = [it for it in happenings if it.deed not in ("held", "hold lifted")]
    for it, following in zip_longest(changes, changes[1:]):
        begin = column.get((it.place, it.number), 1)
        end = columns + 1 if following is None else column.get((following.place, following.number), 1)
        if begin < end:
            yield Bar(begin, end, it.deed, it.model_version)


def _held(happenings: tuple[Happening, ...], column: dict[tuple[Any, int], int], columns: int) -> Iterator[Bar]:
    """From each hold to its end."""
    began: int | None = None
    for it in happenings:
        at = column.get((it.place, it.number), 1)
        if it.deed == "held" or it.with_hold:
            began = at if began is None else began
        elif it.deed == "hold lifted" and began is not None:
            if began < at:
                yield Bar(began, at, "held", None)
            began = None
    if began is not None:
        yield Bar(began, columns + 1, "held", None)


def _shown(value: Any) -> Any:
    """Everything that is put into the page comes by here, before it is escaped."""
    if isinstance(value, datetime):
        raise TypeError("a moment has a filter of its own")
    return visible(value) if isinstance(value, str) and not hasattr(value, "__html__") else value
