"""Check the masked data set as a whole: the room's Great Expectations suite, its result, and its page of data docs."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict
from zenml import step

from bakehouse import workspace
from bakehouse.gates import GateResult, holds
from bentos.common.room import Room, load_room
from steps.data_docs import data_docs

SHOWN = 3


class Expectations(BaseModel):
    """How many expectations the data met, with one gate for each of them."""

    model_config = ConfigDict(frozen=True)

    evaluated: int
    met: int
    gates: tuple[GateResult, ...]


@step
def check(
    model: str, masked: Path
) -> tuple[
    Annotated[Expectations, "expectations"],
    Annotated[Path, "expectations_result"],
    Annotated[Path, "expectations_report"],
]:
    """The verdict, Great Expectations' own result as JSON, and as HTML; a missed gate is returned, not raised."""
    # ZenML sees several outputs only where a step returns a literal tuple.
    expectations, result, report = check_room(load_room(model), masked, workspace.scratch("check"))
    return expectations, result, report


def check_room(room: Room, masked: Path, folder: Path) -> tuple[Expectations, Path, Path]:
    """Run the suite over the frame that the room makes of the masked records. An empty suite meets nothing."""
    # Its import alone logs fifty lines about its own internals, and one module gives itself a level of its own.
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    import great_expectations as gx

    logging.getLogger("great_expectations.data_context.types.base").setLevel(logging.WARNING)

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    source = context.data_sources.add_pandas(room.name)
    batches = source.add_dataframe_asset("masked").add_batch_definition_whole_dataframe("masked")
    suite = context.suites.add(room.checks.suite())
    definition = gx.ValidationDefinition(name=room.name, data=batches, suite=suite)
    result = context.validation_definitions.add(definition).run(
        batch_parameters={"dataframe": room.checks.frame(masked)}
    )
    as_json, as_html = folder / "expectations.json", folder / "expectations.html"
    as_json.write_text(json.dumps(result.to_json_dict(), indent=2, sort_keys=True) + "\n")
    as_html.write_text(data_docs(as_json))
    gates = tuple(_gate(room, one) for one in result.results) or (_nothing_expected(room),)
    met = sum(bool(one.success) for one in result.results)
    return Expectations(evaluated=len(result.results), met=met, gates=gates), as_json, as_html


def _gate(room: Room, one: Any) -> GateResult:
    """One expectation as a gate: what was expected of which column, and what was found."""
    config = one.expectation_config
    expected = {key: value for key, value in config.kwargs.items() if key not in ("batch_id", "column")}
    named = ".".join(filter(None, ("data", config.kwargs.get("column"), config.type.removeprefix("expect_"))))
    return holds(
        named,
        bool(one.success),
        _found(one),
        ", ".join(f"{key} {_short(value)}" for key, value in sorted(expected.items())) or "met",
        f"bentos/{room.name}/checks.py",
        str((config.meta or {}).get("why", "")),
    )


def _found(one: Any) -> str:
    if (one.exception_info or {}).get("raised_exception"):
        return f"not evaluated: {one.exception_info.get('exception_message')}"
    for figure in ("observed_value", "unexpected_percent", "unexpected_count"):
        if (value := one.result.get(figure)) is not None:
            return f"{figure.replace('_', ' ')} {_short(value)}"
    return "met" if one.success else "not met"


def _short(value: Any) -> str:
    """A value as a line of evidence can hold it; the whole of it stands in the report."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list) and len(value) > SHOWN:
        return f"{', '.join(map(str, value[:SHOWN]))} … ({len(value)} values)"
    return str(value)


def _nothing_expected(room: Room) -> GateResult:
    return holds("data", False, "no expectation", "at least one", f"bentos/{room.name}/checks.py")
