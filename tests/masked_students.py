"""Real pupils as everything behind the gatekeeper and the feature store sees them, for tests of models and steps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bentos.common import ndjson
from bentos.students.contract import Masked
from tests.admitted import CHECKOUT, admit

COURSES = ("mathematics", "portuguese")


def documents(course: str, count: int | None = None) -> list[dict[str, Any]]:
    """The first `count` raw documents of the shipped batch of a course."""
    lines = (CHECKOUT / "data" / "students" / f"{course}-2006.ndjson").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines[:count]]


def write_masked(path: Path, raw: list[dict[str, Any]]) -> Path:
    """Admit raw documents, and write what was accepted, masked, to `path`."""
    return admit("students", b"".join(json.dumps(document).encode() + b"\n" for document in raw), path)


def read_masked(folder: Path, count: int | None = None) -> list[Masked]:
    """The first `count` accepted pupils of both courses, with all that is known at the end of the year."""
    raw = [document for course in COURSES for document in documents(course, count)]
    return ndjson.read(write_masked(folder / "masked.ndjson", raw), Masked)


def at_both_moments(pupils: list[Masked]) -> list[Masked]:
    """Each pupil early, without reports, and late, with both."""
    return [pupil.model_copy(update={"reports": known}) for pupil in pupils for known in ([], pupil.reports)]
