"""Several batches as one stream of lines, and what the acceptance gate says of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bentos.common.room import load_room
from steps.admit import admit_room, joined


@pytest.mark.parametrize(
    ("contents", "lines"),
    [
        ([b"a\nb\n", b"c\n"], [b"a\n", b"b\n", b"c\n"]),
        ([b"a\nb", b"c"], [b"a\n", b"b\n", b"c\n"]),
        ([b"a\r", b"b"], [b"a\r\n", b"b\n"]),
        ([b"", b"a\n", b"", b"b\n"], [b"a\n", b"b\n"]),
        ([b"\n\n", b"a"], [b"\n", b"\n", b"a\n"]),
        ([b"x" * 3_000_000, b"y"], [b"x" * 3_000_000 + b"\n", b"y\n"]),
        ([], []),
    ],
)
def test_no_line_runs_over_from_one_batch_into_the_next(
    contents: list[bytes], lines: list[bytes], tmp_path: Path
) -> None:
    files = []
    for number, content in enumerate(contents):
        files.append(tmp_path / f"{number}.ndjson")
        files[-1].write_bytes(content)
    with joined(files) as stream:
        assert list(stream) == lines


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
