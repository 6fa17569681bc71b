"""What the feature store holds, view by view, and how it is read into the contract's words.

Plain data without Feast, because the service reads the online store with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from bentos.students.contract import Answers

PROJECT = "students"
VIEWS: Mapping[str, tuple[str, ...]] = {
    "registration": tuple(Answers.model_fields),
    "reports": ("first_grade", "second_grade"),
}
"""The features of each view. An absent grade is null."""
Facts = Mapping[str, Any]


def key(student_token: str, course: str) -> dict[str, str]:
    """The entity: a pupil's token, and the course."""
    return {"student": student_token, "course": course}


def answers(facts: Facts) -> dict[str, Any]:
    """What the view `registration` says, under the contract's names."""
    return {name: facts[name] for name in VIEWS["registration"]}


def reports(facts: Facts | None) -> list[tuple[Literal[1, 2], int]]:
    """What the view `reports` says: the period and its grade, where there is one."""
    grades: dict[Literal[1, 2], int | None] = {1: None, 2: None}
    if facts is not None:
        grades = {1: facts["first_grade"], 2: facts["second_grade"]}
    return [(period, grade) for period, grade in grades.items() if grade is not None]
