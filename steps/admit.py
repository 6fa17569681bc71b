"""Admit: the gatekeeper reads the raw batches line by line, and what it lets through leaves it masked, in one pass."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, cast

from pydantic import BaseModel, ConfigDict
from zenml import step

from bakehouse import gates, workspace
from bakehouse.gates import GateResult
from bentos.common import gatekeeper
from bentos.common.gatekeeper import AcceptanceReport
from bentos.common.masking import masking_key
from bentos.common.room import Room, load_room
from steps import data_versions
from steps.data_versions import DataVersion

PARALLEL_BYTES = 256 << 20
"""From here on several processes judge. Each imports ZenML's command anew: 2.6 s of processor time, in which one
judges 70 MB. By that, two on two processors gain from some 200 MB on."""


class Acceptance(BaseModel):
    """What the gatekeeper reports, and the gate on the share that it accepted."""

    model_config = ConfigDict(frozen=True)

    report: AcceptanceReport
    gates: tuple[GateResult, ...]


@step
def admit(
    model: str, data: DataVersion
) -> tuple[Annotated[Path, "masked"], Annotated[Path, "quarantine"], Annotated[Acceptance, "acceptance"]]:
    """Accepted records and refused ones, both masked, and the report. Raises `GateError` where too few were accepted:
    on such data nothing that follows means anything."""
    masked, quarantine, acceptance = admit_room(load_room(model), data_versions.files(data), workspace.scratch("admit"))
    _show(masked, f"{model}_masked.ndjson")
    _show(quarantine, f"{model}_quarantine.ndjson")
    gates.require(acceptance.gates, f"{model} is not trained")
    return masked, quarantine, acceptance


def admit_room(room: Room, batches: list[Path], folder: Path) -> tuple[Path, Path, Acceptance]:
    """Write `masked.ndjson` and `quarantine.ndjson` to `folder`. The batches are one input: a record that is in two of
    them is a duplicate, and line numbers count through them all."""
    masked, quarantine = folder / "masked.ndjson", folder / "quarantine.ndjson"
    contract = cast("gatekeeper.Contract", room.contract)
    report = gatekeeper.admit_files(
        batches, contract, masking_key(), masked, quarantine, datetime.now(UTC), processes(batches)
    )
    gate = room.problem.gate("acceptance_rate", report.acceptance_rate)
    reasons = "; ".join(
        f"{reason.documents} with {reason.field}: {reason.reason} (first on line {reason.first_line})"
        for reason in report.reasons
    )
    explained = gate.model_copy(update={"explanation": f"{gate.explanation} Refused: {reasons}" if reasons else ""})
    return masked, quarantine, Acceptance(report=report, gates=(gate if gate.passed else explained,))


def processes(batches: Iterable[Path]) -> int:
    """How many processes judge the batches: one for each processor once that pays for their start."""
    size = sum(batch.stat().st_size for batch in batches)
    return os.cpu_count() or 1 if size >= PARALLEL_BYTES else 1


def _show(file: Path, name: str) -> None:
    """Leave a copy where a person looks for it: `data/processed/` of the checkout, or, where the state stands
    elsewhere, in the state."""
    root, state = workspace.root(), workspace.state()
    folder = root / "data" / "processed" if state.is_relative_to(root) else state / "processed"
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{name}.{os.getpid()}"
    shutil.copyfile(file, partial)
    partial.replace(folder / name)
