"""From a pupil in a course to the model's input arrays, the same function in training and in the service. numpy only.

Not among the features, on purpose: the sex, without which the model is as good; the absences, which are counted over
the whole year and so know its end; whatever is a label, or would give one away (ids, and what people are called).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bentos.students.contract import Answers, Masked, Request

NUMBERS = (
    "age",
    "mother_education",
    "father_education",
    "travel_time",
    "study_time",
    "failures",
    "family_relations",
    "free_time",
    "going_out",
    "weekday_alcohol",
    "weekend_alcohol",
    "health",
    "school_support",
    "family_support",
    "paid_classes",
    "activities",
    "nursery",
    "wants_higher_education",
    "internet",
    "relationship",
)
"""Answers that are numbers, or true (1) or false (0)."""

CHOICES = (
    ("school", "GP"),
    ("address", "urban"),
    ("family_size", "more_than_3"),
    ("parents", "together"),
    *(("mother_job", job) for job in ("at_home", "health", "other", "services", "teacher")),
    *(("father_job", job) for job in ("at_home", "health", "other", "services", "teacher")),
    *(("reason", reason) for reason in ("course", "home", "other", "reputation")),
    *(("guardian", guardian) for guardian in ("father", "mother", "other")),
)
"""1 where the answer is the word."""

FEATURES = (*NUMBERS, *(f"{name}_{word}" for name, word in CHOICES), "course_mathematics")
GRADES = ("first_grade", "second_grade")


def arrays(items: Sequence[Masked | Request]) -> dict[str, NDArray[Any]]:
    """The inputs of the ONNX graph by name: `registration` float32 [len(items), len(FEATURES)]; `grades` float32
    [len(items), 2], 0 where there is no report; `late` bool [len(items), 1], whether both reports are there."""
    rows, grades = [], []
    for item in items:
        assert item.registration is not None, "the service looks up a pupil who is asked for by id"
        rows.append((*_answers(item.registration), float(item.course == "mathematics")))
        by_period = {report.period: report.grade for report in item.reports}
        grades.append((by_period.get(1), by_period.get(2)))
    late = [first is not None and second is not None for first, second in grades]
    # The late variant alone reads grades, and reads both: a single one is kept from it rather than taken for a zero.
    known = [pair if both else (0, 0) for pair, both in zip(grades, late, strict=True)]
    return {
        "registration": np.array(rows, dtype=np.float32).reshape(len(rows), len(FEATURES)),
        "grades": np.array(known, dtype=np.float32).reshape(len(rows), len(GRADES)),
        "late": np.array(late, dtype=np.bool_).reshape(len(rows), 1),
    }


def _answers(answers: Answers) -> tuple[float, ...]:
    return (
        *(getattr(answers, name) for name in NUMBERS),
        *(float(getattr(answers, name) == word) for name, word in CHOICES),
    )
