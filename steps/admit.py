"""Admit: the gatekeeper reads the raw batches line by line, and what it lets through leaves it masked, in one pass."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, cast

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

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


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
    """Write `masked.ndjson` and `quarantine.ndjson` to `folder`. The batches are one stream: a record that is in two of
    them is a duplicate, and line numbers count through them all."""
    masked, quarantine = folder / "masked.ndjson", folder / "quarantine.ndjson"
    with joined(batches) as lines, masked.open("wb") as accepted, quarantine.open("wb") as refused:
        contract = cast("gatekeeper.Contract", room.contract)
        report = gatekeeper.admit(lines, contract, masking_key(), accepted, refused, datetime.now(UTC))
    gate = room.problem.gate("acceptance_rate", report.acceptance_rate)
    reasons = "; ".join(
        f"{reason.documents} with {reason.field}: {reason.reason} (first on line {reason.first_line})"
        for reason in report.reasons
    )
    explained = gate.model_copy(update={"explanation": f"{gate.explanation} Refused: {reasons}" if reasons else ""})
    return masked, quarantine, Acceptance(report=report, gates=(gate if gate.passed else explained,))


def joined(files: Iterable[Path]) -> BinaryIO:
    """One stream of all the lines of the files; a file's last line ends whether or not its file says so."""
    return cast("BinaryIO", io.BufferedReader(_Joined(files), 1 << 20))


class _Joined(io.RawIOBase):
    def __init__(self, files: Iterable[Path]) -> None:
        self._waiting = iter(files)
        self._current: BinaryIO | None = None
        self._last = b"\n"

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        while True:
            if self._current is None:
                following = next(self._waiting, None)
                if following is None:
                    return 0
                self._current = following.open("rb")
            if content := self._current.read(len(view)):
                view[: len(content)] = content
                self._last = content[-1:]
                return len(content)
            self._current.close()
            self._current = None
            if self._last != b"\n":
                view[:1] = self._last = b"\n"
                return 1

    def close(self) -> None:
        if self._current is not None:
            self._current.close()
        super().close()


def _show(file: Path, name: str) -> None:
    """Leave a copy where a person looks for it: `data/processed/` of the checkout, or, where the state stands
    elsewhere, in the state."""
    root, state = workspace.root(), workspace.state()
    folder = root / "data" / "processed" if state.is_relative_to(root) else state / "processed"
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{name}.{os.getpid()}"
    shutil.copyfile(file, partial)
    partial.replace(folder / name)
