"""The feature store of pupils, for Feast: entities, views and the service; and how records become facts in it.

An entity is a pupil in a course. The pupil is the token that masking made of the id.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from feast import Entity, FeatureService, FeatureView, Field, FileSource
from feast.types import Bool, Int64, String
from feast.value_type import ValueType

from bentos.students.contract import Answers, Masked
from bentos.students.feature_store import views
from bentos.students.feature_store.views import PROJECT, VIEWS, Facts

__all__ = ["FEATURES", "OBJECTS", "PROJECT", "as_of", "entity", "facts", "moments"]

STUDENT = Entity(name="student", join_keys=["student"], value_type=ValueType.STRING)
COURSE = Entity(name="course", join_keys=["course"], value_type=ValueType.STRING)


def _view(name: str, description: str) -> FeatureView:
    return FeatureView(
        name=name,
        description=description,
        entities=[STUDENT, COURSE],
        schema=[Field(name=feature, dtype=_type(feature)) for feature in VIEWS[name]],
        source=FileSource(name=name, path=f"{name}.parquet", timestamp_field="event_timestamp"),
        # A fact holds until a later one of the same pupil in the same course: none expires by itself.
        ttl=timedelta(0),
    )


def _type(feature: str) -> Any:
    annotation = Answers.model_fields[feature].annotation if feature in Answers.model_fields else int
    return {bool: Bool, int: Int64}.get(annotation, String) if isinstance(annotation, type) else String


REGISTRATION = _view("registration", "The register, and the answers to the questionnaire, on a course's first day.")
REPORTS = _view("reports", "The grades of the first and the second period, null while there are none.")
FEATURES: Any = FeatureService(name=PROJECT, features=[REGISTRATION, REPORTS])
OBJECTS: Sequence[Any] = (STUDENT, COURSE, REGISTRATION, REPORTS, FEATURES)


def entity(record: Masked) -> dict[str, str]:
    """Whom a record is about."""
    return views.key(record.student_id, record.course)


def facts(record: Masked) -> Iterator[tuple[str, datetime, Facts]]:
    """All that a record says: the view, when it became known, and the features."""
    registration = record.registration
    yield "registration", registration.time or record.time, registration.model_dump(exclude={"time"})
    grades: dict[str, int | None] = {"first_grade": None, "second_grade": None}
    # That there is no report yet is a fact too: Feast leaves out whoever a view knows only later.
    yield "reports", registration.time or record.time, dict(grades)
    for report in sorted(record.reports, key=lambda report: report.period):
        grades["first_grade" if report.period == 1 else "second_grade"] = report.grade
        yield "reports", report.time or record.time, dict(grades)


def moments(record: Masked) -> list[datetime]:
    """When a grade is asked for: on the first day, and once both reports are there."""
    asked = [record.registration.time or record.time]
    if len(record.reports) == 2:
        asked.append(max(report.time or record.time for report in record.reports))
    return asked


def as_of(record: Masked, moment: datetime, known: Mapping[str, Facts | None]) -> Masked:
    """The record at `moment`, with the features that the store knew then and the labels that came later."""
    registration = known["registration"]
    assert registration is not None, "every pupil is registered by the first moment"
    return Masked.model_validate(
        {
            "student_id": record.student_id,
            "course": record.course,
            "time": moment,
            "registration": views.answers(registration),
            "reports": [{"period": period, "grade": grade} for period, grade in views.reports(known["reports"])],
            "final_grade": record.final_grade,
            "also_enrolled": record.also_enrolled,
        }
    )
