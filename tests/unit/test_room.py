"""Rooms: found by name, their problem statement checked, their gates held, their modules loaded when asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from bakehouse.errors import ConfigurationError
from bentos.common.room import Room, load_room, rooms

STATED = {
    "model": "scones",
    "title": "Scones",
    "problem": "Some scones are flat.",
    "kpi": {"name": "rise", "unit": "mm", "how": "Measured."},
    "owner": "bakery",
    "intended_use": ["Look at scones."],
    "out_of_scope": ["Cakes."],
    "promotion": "review",
    "gates": {
        "rise": {"at_least": 20, "why": "Flat below."},
        "burnt": {"at_most": 0.1, "why": "Black above."},
        "jam": {"target": 0.5, "tolerance": 0.1, "why": "By taste."},
    },
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "bentos").mkdir()
    return tmp_path


def state(root: Path, **changes: object) -> None:
    folder = root / "bentos" / "scones"
    folder.mkdir(exist_ok=True)
    (folder / "problem.yaml").write_text(yaml.safe_dump({**STATED, **changes}))


def scones(root: Path) -> Room:
    state(root)
    return load_room("scones", root)


def test_the_shipped_orders_room_loads_and_promotes_by_itself(checkout: Path) -> None:
    orders = load_room("orders", checkout)
    assert orders.problem.promotion == "automatic"
    assert "acceptance_rate" in orders.problem.gates


def test_an_unknown_model_is_refused_with_the_list_of_models(root: Path) -> None:
    state(root)
    with pytest.raises(ConfigurationError, match=r"no model 'buns'.*scones"):
        load_room("buns", root)


def test_a_folder_without_a_problem_statement_is_no_room(root: Path) -> None:
    state(root)
    (root / "bentos" / "common").mkdir()
    assert rooms(root) == ("scones",)


@pytest.mark.parametrize(
    ("gate", "passes", "misses"),
    [("rise", 20.0, 19.9), ("burnt", 0.1, 0.11), ("jam", 0.6, 0.61), ("jam", 0.4, 0.39)],
)
def test_a_figure_on_the_threshold_passes_and_one_beyond_it_does_not(
    root: Path, gate: str, passes: float, misses: float
) -> None:
    problem = scones(root).problem
    assert problem.gate(gate, passes).passed
    missed = problem.gate(gate, misses)
    assert not missed.passed
    assert missed.source == f"bentos/scones/problem.yaml: gates.{gate}"


@pytest.mark.parametrize("gate", ["rise", "burnt", "jam"])
def test_a_figure_that_is_not_a_number_passes_no_gate(root: Path, gate: str) -> None:
    assert not scones(root).problem.gate(gate, float("nan")).passed


def test_a_gate_that_is_not_stated_is_an_error_that_lists_those_that_are(root: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no gate crumb.*burnt, jam, rise"):
        scones(root).problem.gate("crumb", 1.0)


@pytest.mark.parametrize(
    "threshold",
    [
        {"why": "Nothing stated."},
        {"at_least": 1, "at_most": 2, "why": "Two things stated."},
        {"target": 1, "why": "No tolerance."},
        {"at_least": float("nan"), "why": "Not a number."},
        {"at_least": 1},
    ],
)
def test_a_threshold_states_exactly_one_thing_and_why(root: Path, threshold: dict[str, object]) -> None:
    state(root, gates={"rise": threshold})
    with pytest.raises(ConfigurationError, match=r"gates\.rise"):
        load_room("scones", root)


def test_every_fault_of_a_problem_statement_is_named_at_once(root: Path) -> None:
    state(root, promotion="whenever", colour="brown")
    with pytest.raises(ConfigurationError) as caught:
        load_room("scones", root)
    assert "promotion" in caught.value.message
    assert "colour" in caught.value.message


def test_a_problem_statement_that_is_no_yaml_says_so(root: Path) -> None:
    state(root)
    (root / "bentos" / "scones" / "problem.yaml").write_text("model: [")
    with pytest.raises(ConfigurationError, match="not YAML"):
        load_room("scones", root)


def test_a_statement_about_another_model_than_its_folder_is_refused(root: Path) -> None:
    state(root, model="buns")
    with pytest.raises(ConfigurationError, match="is about 'buns'"):
        load_room("scones", root)


def test_a_missing_module_is_an_error_only_when_it_is_asked_for(root: Path) -> None:
    room = scones(root)
    with pytest.raises(ConfigurationError, match=r"bentos/scones has no contract\.py"):
        _ = room.contract


def test_a_room_of_another_checkout_is_imported_from_there(root: Path) -> None:
    room = scones(root)
    (room.folder / "contract.py").write_text("FROM = 'elsewhere'\n")
    assert room.contract.FROM == "elsewhere"
    assert room.contract is room.contract


def test_finding_rooms_imports_nothing_heavy(checkout: Path) -> None:
    program = (
        "import sys; from bentos.common.room import load_room; load_room('orders')\n"
        "print(sorted({'pandas', 'sklearn', 'numpy', 'great_expectations', 'onnxruntime'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=checkout, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
