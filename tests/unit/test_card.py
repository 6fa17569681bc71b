"""The model card: what it must have, what is missing of it, and that it shows the run's figures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bentos.common import card
from bentos.common.card import WRITTEN
from bentos.common.room import Room, load_room, rooms
from steps.describe import chosen, rendered
from steps.evaluate import Evaluation, Metric
from steps.export import Parity
from steps.train import Leaderboard, RunnerUp, Standing


@pytest.fixture
def room(tmp_path: Path) -> Room:
    """A real problem with a card of the test's own."""
    write(tmp_path, "\n\n".join(f"## {heading}\nWhat there is to say of it." for heading in WRITTEN))
    return replace(load_room("orders"), folder=tmp_path)


def write(folder: Path, text: str) -> None:
    (folder / "card.md").write_text(f"# Model card\n\n{text}\n")


@pytest.mark.parametrize("model", rooms())
def test_the_card_of_every_room_is_complete(model: str) -> None:
    assert card.gate(load_room(model)).describe() == (
        f"model_card passed: complete, must be complete (set in bentos/{model}/card.md)"
    )


@pytest.mark.parametrize("heading", WRITTEN)
def test_a_section_that_is_missing_or_empty_is_a_miss_that_names_it(room: Room, heading: str) -> None:
    whole = (room.folder / "card.md").read_text()
    for spoilt in (whole.replace(f"## {heading}\nWhat there is to say of it.", f"## {heading}\n<!-- to do -->"),
                   whole.replace(f"## {heading}\n", "### Something\n")):  # fmt: skip
        write(room.folder, spoilt)
        gate = card.gate(room)
        assert not gate.passed
        assert gate.figure == f"missing: card.md: ## {heading}"


def test_every_missing_part_is_named_also_where_there_is_no_card(room: Room) -> None:
    (room.folder / "card.md").unlink()
    unstated = replace(room, problem=room.problem.model_copy(update={"intended_use": ()}))
    figure = str(card.gate(unstated).figure)
    assert figure.startswith("missing: problem.yaml: intended_use; ")
    assert all(heading in figure for heading in WRITTEN)


def test_links_into_the_checkout_become_text_and_others_stay(room: Room) -> None:
    write(room.folder, "## Data\nSee [data](../../data/README.md) and [the source](https://example.org/x).")
    assert card.written(room)["Data"] == "See data and [the source](https://example.org/x)."


def standing(candidate: str, score: float) -> Standing:
    return Standing(
        candidate=candidate, params={"c": 0.5}, score=score, folds=(score,), given_up=False, seconds=1, run="r"
    )


def test_the_card_shows_sections_figures_and_gates_of_the_run(room: Room) -> None:
    evaluation = Evaluation(
        champion=3,
        champion_note="Compared with model version 3.",
        test_rows=60,
        test_digest="sha256:" + "0" * 64,
        metrics={"accuracy": Metric(value=0.81234, low=0.7, high=0.9, champion=0.75)},
        gates=(room.problem.gate("mean_average_precision", 0.1),),
    )
    leaderboard = Leaderboard(metric="accuracy", standings=(standing("forest", 0.8),))
    shown = rendered(room, "d" * 32, leaderboard, Parity(rows=1, agreement=1, difference=0, gates=()), evaluation)
    for heading in ("Owner", "Intended use", "Out of scope", *WRITTEN, "Figures of this version", "Gates"):
        assert f"\n## {heading}\n" in shown
    assert "| accuracy | 0.8123 | 0.7 to 0.9 | 0.75 |" in shown
    assert "| mean_average_precision | 0.1 | >= 0.3 | missed |" in shown
    assert f"data version `{'d' * 32}`" in shown
    assert room.problem.owner in shown


def test_a_margin_that_chance_explains_is_called_so() -> None:
    both = (standing("forest", 0.8), standing("linear", 0.79))
    close = RunnerUp(candidate="linear", score=0.79, margin=0.01, low=-0.02, high=0.04)
    said = chosen(Leaderboard(metric="accuracy", standings=both, runner_up=close))
    assert said.startswith("forest (c = 0.5) had the best accuracy on dev data, 0.8, of 2 trials")
    assert said.endswith("is 0.01 behind (95 % interval -0.02 to 0.04), which can't be told from chance.")
    clear = close.model_copy(update={"low": 0.005})
    assert "chance" not in chosen(Leaderboard(metric="accuracy", standings=both, runner_up=clear))
