"""Several batches as one input, on one process or several, and what the acceptance gate says of it."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

import pytest

from bentos.common.room import load_room
from steps.admit import admit_room

# `from steps import admit` could name the step.
admit = importlib.import_module("steps.admit")


def test_large_batches_are_judged_by_every_processor_and_small_ones_by_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = [tmp_path / "1.ndjson", tmp_path / "2.ndjson"]
    for batch in batches:
        batch.write_bytes(b"x" * 500)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    monkeypatch.setattr(admit, "PARALLEL_BYTES", 1_000)
    assert admit.processes(batches) == 6
    assert admit.processes(batches[:1]) == 1


def test_what_is_admitted_is_the_same_to_the_byte_on_several_processes(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = sorted((checkout / "data/orders").glob("batch-*.ndjson"))
    for folder in ("alone", "together"):
        (tmp_path / folder).mkdir()
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    *alone, report = admit_room(load_room("orders"), batches, tmp_path / "alone")
    monkeypatch.setattr(admit, "PARALLEL_BYTES", 1)
    *together, same = admit_room(load_room("orders"), batches, tmp_path / "together")
    assert [path.read_bytes() for path in together] == [path.read_bytes() for path in alone]
    assert same == report


def test_a_record_that_is_in_two_batches_is_admitted_once(checkout: Path, tmp_path: Path) -> None:
    batch = checkout / "data/orders/batch-2.ndjson"
    again = tmp_path / "again.ndjson"
    again.write_bytes(batch.read_bytes())
    _, _, once = admit_room(load_room("orders"), [batch], tmp_path)
    masked, _, twice = admit_room(load_room("orders"), [batch, again], tmp_path)
    assert twice.report.documents == 2 * once.report.documents
    assert twice.report.accepted == once.report.accepted
    assert twice.report.duplicates == once.report.accepted
    assert len(masked.read_bytes().splitlines()) == once.report.accepted


def test_a_missed_acceptance_gate_says_which_fields_were_refused_and_why(checkout: Path, tmp_path: Path) -> None:
    lines = (checkout / "data/orders/batch-1.ndjson").read_text().splitlines()[:20]
    broken = tmp_path / "broken.ndjson"
    broken.write_text("".join(line.replace('"currency":"GBP"', '"currency":"pounds"') + "\n" for line in lines))
    _, quarantine, acceptance = admit_room(load_room("orders"), [broken], tmp_path)
    (gate,) = acceptance.gates
    assert not gate.passed
    assert gate.name == "acceptance_rate"
    assert "20 with currency: " in gate.explanation
    assert len(quarantine.read_bytes().splitlines()) == 20
