"""What git says, for Prometheus: what is released and held where, in its text format, to compare with what answers."""

from __future__ import annotations

from collections.abc import Iterator

from gitops.board import Board


def exposition(board: Board) -> str:
    """The text of a file that Prometheus scrapes from wherever it is served."""
    return "".join(f"{line}\n" for line in _lines(board))


def _lines(board: Board) -> Iterator[str]:
    lanes = [lane for model in board.models for lane in model.lanes]
    yield "# HELP bakehouse_release_info Always 1; the labels say what git has released."
    yield "# TYPE bakehouse_release_info gauge"
    for lane in lanes:
        if lane.release is not None:
            which = (("model_version", str(lane.release.model_version)), ("model_digest", lane.release.model_digest))
            yield f"bakehouse_release_info{_labels(lane.place.environment, lane.place.model, *which)} 1"
    yield "# HELP bakehouse_release_held Whether git holds releases back."
    yield "# TYPE bakehouse_release_held gauge"
    for lane in lanes:
        yield f"bakehouse_release_held{_labels(lane.place.environment, lane.place.model)} {int(lane.is_held)}"
    yield "# HELP bakehouse_board_made_seconds When this was read from git, in seconds since 1970."
    yield "# TYPE bakehouse_board_made_seconds gauge"
    yield f"bakehouse_board_made_seconds {board.made.timestamp():.0f}"


def _labels(environment: str, model: str, *more: tuple[str, str]) -> str:
    """None of them needs an escape: names, numbers and digests are checked where they are read."""
    return (
        "{"
        + ",".join(f'{name}="{value}"' for name, value in (("environment", environment), ("model", model), *more))
        + "}"
    )
