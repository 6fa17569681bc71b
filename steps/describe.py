"""Describe: the model card of the candidate, from its room's card.md and problem.yaml and the figures of this run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from zenml import step

from bakehouse import workspace
from bakehouse.gates import GateResult
from bentos.common import card
from bentos.common.room import Room, load_room
from steps import tracking
from steps.evaluate import Evaluation
from steps.export import Parity
from steps.train import Leaderboard

TEMPLATE = Path(__file__).with_name("model_card.md.jinja")


@step
def describe(
    model: str, data_version: str, leaderboard: Leaderboard, parity: Parity, evaluation: Evaluation, mlflow_run: str
) -> tuple[Annotated[Path, "model_card"], Annotated[GateResult, "card_gate"]]:
    """The card as Markdown, also in the MLflow run, and the gate on its sections; a miss is returned, not raised."""
    room = load_room(model)
    path = workspace.scratch("describe") / "model_card.md"
    path.write_text(rendered(room, data_version, leaderboard, parity, evaluation), encoding="utf-8")
    tracking.client().log_artifact(mlflow_run, str(path))
    return path, card.gate(room)


def rendered(room: Room, data_version: str, leaderboard: Leaderboard, parity: Parity, evaluation: Evaluation) -> str:
    """The whole card, Markdown."""
    from jinja2 import Environment, StrictUndefined

    # Markdown, not HTML: whoever makes HTML of it lets no markup through.
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False)  # noqa: S701
    environment.filters["shown"] = shown
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        problem=room.problem,
        sections=card.written(room),
        data_version=data_version,
        evaluation=evaluation,
        chosen=chosen(leaderboard),
        gates=(card.gate(room), *parity.gates, *evaluation.gates),
    )


def chosen(leaderboard: Leaderboard) -> str:
    """How the candidate was chosen, in a sentence or two."""
    if not leaderboard.standings:
        return "No trial was made."
    best, runner_up = leaderboard.standings[0], leaderboard.runner_up
    settings = ", ".join(f"{name} = {shown(value)}" for name, value in best.params.items())
    given_up = sum(standing.given_up for standing in leaderboard.standings)
    said = (
        f"{best.candidate}{f' ({settings})' if settings else ''} had the best {leaderboard.metric} on dev data,"
        f" {best.score:.4g}, of {len(leaderboard.standings)} trials, {given_up} of which were given up early."
    )
    if runner_up is None:
        return said
    interval = f" (95 % interval {runner_up.low:.4g} to {runner_up.high:.4g})" if runner_up.low is not None else ""
    said += f" The best of another kind, {runner_up.candidate}, is {runner_up.margin:.4g} behind{interval}"
    if runner_up.low is not None and runner_up.low <= 0:
        return f"{said}, which can't be told from chance."
    return f"{said}."


def shown(value: object) -> str:
    """A figure with four digits, anything else as it is."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
