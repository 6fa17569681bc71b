"""The service of students. Its paths, limits, metrics and log are every room's, and stand in bentos/common.

A pupil who is asked for by id is looked up in the online feature store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import bentoml

from bentos.common.online_lookup import OnlineLookup
from bentos.common.predictor import Arrays, Predictor
from bentos.common.service import SETTINGS, PredictionService
from bentos.students import features
from bentos.students.contract import (
    COURSES,
    EXAMPLE,
    Course,
    PredictedEnrolment,
    PredictedGrade,
    Request,
    RequestRegistration,
    RequestReport,
    Response,
)
from bentos.students.feature_store import views


@bentoml.service(name="students", service_class=PredictionService, **SETTINGS)
class Students(Predictor[Request, Response]):
    """Says which final grade a pupil in a course will reach, and whether the pupil takes the other course too."""

    request = Request
    response = Response
    example = EXAMPLE
    outcomes = ("pass", "fail")

    def __init__(self) -> None:
        self._store = OnlineLookup("students", views.PROJECT, views.VIEWS, label="student")

    def waits(self, requests: Sequence[Request]) -> bool:
        return any(request.registration is None for request in requests)

    def arrays(self, requests: Sequence[Request]) -> Arrays:
        return features.arrays(self.known(requests))

    def known(self, requests: Sequence[Request]) -> list[Request]:
        """The requests with what the feature store knows of those who are asked for by id alone."""
        asked = {
            f"{place}.student_id": (place, request.student_id, request.course)
            for place, request in enumerate(requests)
            if request.registration is None and request.student_id is not None
        }
        found = self._store.read(
            {field: views.key(self._store.token(name), course) for field, (_, name, course) in asked.items()}
        )
        known = list(requests)
        for field, (place, _, course) in asked.items():
            known[place] = _request(course, found[field])
        return known

    def responses(self, requests: Sequence[Request], outputs: Arrays, model_version: int) -> Sequence[Response]:
        grades, passes = outputs["grade"].tolist(), outputs["passes"].tolist()
        late, enrolments = outputs["is_late"].tolist(), outputs["enrolment"].tolist()
        return [
            Response.model_construct(
                course=request.course,
                grade=PredictedGrade.model_construct(
                    value=grade, passes=bool(passed), variant="late" if known else "early"
                ),
                enrolment=PredictedEnrolment.model_construct(
                    course=COURSES[1 - COURSES.index(request.course)], probability=enrolment
                ),
                model_version=model_version,
            )
            for request, grade, passed, known, enrolment in zip(requests, grades, passes, late, enrolments, strict=True)
        ]

    def outcome(self, response: Response) -> str:
        return "pass" if response.grade.passes else "fail"


def _request(course: Course, found: Mapping[str, Mapping[str, Any] | None]) -> Request:
    answers = found["registration"]
    assert answers is not None, "the lookup refuses whom the first view does not know"
    return Request.model_construct(
        course=course,
        registration=RequestRegistration.model_construct(**views.answers(answers)),
        reports=[
            RequestReport.model_construct(period=period, grade=grade)
            for period, grade in views.reports(found["reports"])
        ],
    )
