"""What a pupil in a course is: as the school's register holds it, as training sees it without personal data, as the
service takes it.

Holds types and bounds only. Fields that are personal data carry the mark `PII`. All that has no mark is a choice among
given words or a small whole number, so that no name and no number of a person has room in it. Together the answers of a
registration tell most pupils apart all the same: training can't do without them, so masked records are to be kept as
personal data are, and the prediction log holds none.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from bentos.common.contract import Strict, past
from bentos.common.masking import PII

EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
BEST_GRADE = 20
PASSING_GRADE = 10
"""Portugal's schools grade from 0 to 20; a course is passed with 10."""


Time = Annotated[AwareDatetime, AfterValidator(past(EARLIEST))]
StudentId = Annotated[str, Field(pattern=r"^S[0-9]{5}$")]
Token = Annotated[str, Field(pattern=r"^[a-z]+:[0-9a-f]{32}$")]
Text = Annotated[str, Field(min_length=1, max_length=200)]
Course = Literal["mathematics", "portuguese"]
COURSES: tuple[Course, ...] = get_args(Course)
School = Literal["GP", "MS"]
Sex = Literal["F", "M"]
Job = Literal["at_home", "health", "other", "services", "teacher"]
Grade = Annotated[int, Field(ge=0, le=BEST_GRADE)]
Degree = Annotated[int, Field(ge=0, le=4)]
"""Of schooling: none, primary, up to the ninth grade, secondary, higher."""
OneToFour = Annotated[int, Field(ge=1, le=4)]
OneToFive = Annotated[int, Field(ge=1, le=5)]


class Answers(Strict):
    """What a pupil is known by from the first day of a course: the register, and the questionnaire's answers.

    `travel_time` in four steps (up to 15 minutes, 30, 60, more); `study_time` a week in four (up to 2 hours, 5, 10,
    more); `failures` of earlier years; what is asked on a scale goes from 1, very low, to 5, very high.
    """

    school: School
    sex: Sex
    age: Annotated[int, Field(ge=14, le=30)]
    address: Literal["urban", "rural"]
    family_size: Literal["more_than_3", "3_or_fewer"]
    parents: Literal["together", "apart"]
    mother_education: Degree
    father_education: Degree
    mother_job: Job
    father_job: Job
    reason: Literal["course", "home", "other", "reputation"]
    guardian: Literal["father", "mother", "other"]
    travel_time: OneToFour
    study_time: OneToFour
    failures: Annotated[int, Field(ge=0, le=4)]
    school_support: bool
    family_support: bool
    paid_classes: bool
    activities: bool
    nursery: bool
    wants_higher_education: bool
    internet: bool
    relationship: bool
    family_relations: OneToFive
    free_time: OneToFive
    going_out: OneToFive
    weekday_alcohol: OneToFive
    weekend_alcohol: OneToFive
    health: OneToFive


class Registration(Answers):
    """The answers, and when they were given."""

    time: Time


class Report(Strict):
    """The grade of the first or the second period, and when it was given."""

    period: Literal[1, 2]
    time: Time
    grade: Grade


class Person(Strict):
    """Who somebody is. Nothing asks, so masking leaves none of it."""

    name: Text | None = None
    email: Text | None = None
    phone: Text | None = None


def _of_different_periods(reports: list[Report]) -> list[Report]:
    periods = [report.period for report in reports]
    if len(set(periods)) < len(periods):
        raise PydanticCustomError("same_period", "must hold one report a period")
    return reports


Reports = Annotated[list[Report], Field(max_length=2), AfterValidator(_of_different_periods)]


class Record(Strict):
    """One pupil in one course at the end of its year. `time` is when the final grade was given. `absences` are those of
    the whole year. `also_enrolled` says whether the pupil also takes the other course."""

    student_id: Annotated[StudentId, PII("hash", "student")]
    course: Course
    time: Time
    student: Annotated[Person | None, PII("drop")] = None
    guardian: Annotated[Person | None, PII("drop")] = None
    registration: Registration
    reports: Reports
    absences: Annotated[int, Field(ge=0, le=366)]
    final_grade: Grade
    also_enrolled: bool

    @model_validator(mode="after")
    def _ends_last(self) -> Self:
        if max(self.registration.time, *(report.time for report in self.reports), EARLIEST) >= self.time:
            raise PydanticCustomError("ends_early", "must end after its registration and its reports")
        return self


class MaskedRegistration(Answers):
    """The answers, and when they were given, where that is known."""

    time: AwareDatetime | None = None


class MaskedReport(Strict):
    """The grade of one period, and when it was given, where that is known."""

    period: Literal[1, 2]
    time: AwareDatetime | None = None
    grade: Grade


class Masked(Strict):
    """One pupil in one course without personal data. As the feature store gives it, it is the pupil at a moment of the
    year, its `time`: what was not known then is not in it, but for the labels `final_grade` and `also_enrolled`."""

    student_id: Token
    course: Course
    time: AwareDatetime
    registration: MaskedRegistration
    reports: Annotated[list[MaskedReport], Field(max_length=2)]
    absences: int | None = None
    final_grade: Grade
    also_enrolled: bool


class RequestRegistration(Answers):
    """The answers; when they were given is not asked."""

    time: Time | None = None


class RequestReport(Strict):
    """The grade of one period; when it was given is not asked."""

    period: Literal[1, 2]
    time: Time | None = None
    grade: Grade


class Request(Strict):
    """A pupil in a course to predict for: by id, for what the feature store knows, or with the registration and the
    reports there are so far. With both reports the late variant answers, else the early one."""

    course: Course
    student_id: Annotated[StudentId | None, PII("hash", "student")] = None
    registration: Annotated[RequestRegistration | None, PII("drop")] = None
    reports: Annotated[list[RequestReport], Field(max_length=2), AfterValidator(_of_different_periods)] = []  # noqa: RUF012

    @model_validator(mode="after")
    def _says_who(self) -> Self:
        if self.registration is None and (self.student_id is None or self.reports):
            raise PydanticCustomError(
                "says_who", "must hold a registration, or a student_id alone, whose features are looked up"
            )
        return self


class PredictedGrade(Strict):
    """The final grade, 0 to 20, and whether it is expected to pass; `late` says that both reports were known."""

    value: float
    passes: bool
    variant: Literal["early", "late"]


class PredictedEnrolment(Strict):
    """The probability that the pupil also takes the course `course`."""

    course: Course
    probability: float


class Response(BaseModel):
    """What is expected of one pupil in one course. It repeats no id: answers stand in the order of the questions."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    course: Course
    grade: PredictedGrade
    enrolment: PredictedEnrolment
    model_version: int


EXAMPLE: dict[str, Any] = {
    "course": "mathematics",
    "registration": {
        "school": "GP",
        "sex": "F",
        "age": 16,
        "address": "urban",
        "family_size": "more_than_3",
        "parents": "together",
        "mother_education": 3,
        "father_education": 2,
        "mother_job": "services",
        "father_job": "other",
        "reason": "course",
        "guardian": "mother",
        "travel_time": 1,
        "study_time": 2,
        "failures": 0,
        "school_support": False,
        "family_support": True,
        "paid_classes": True,
        "activities": True,
        "nursery": True,
        "wants_higher_education": True,
        "internet": True,
        "relationship": False,
        "family_relations": 4,
        "free_time": 3,
        "going_out": 3,
        "weekday_alcohol": 1,
        "weekend_alcohol": 2,
        "health": 4,
    },
    "reports": [{"period": 1, "grade": 12}, {"period": 2, "grade": 13}],
}


def record_id(record: Record | Masked) -> str:
    """What makes a record one: a pupil in a course."""
    return f"{record.course} {record.student_id}"


def record_time(record: Record | Masked) -> datetime:
    """When the record happened."""
    return record.time


def split_key(record: Masked) -> str:
    """What goes to one part whole: a pupil in both courses, whom UCI's own `student-merge.R` knows by these answers.
    Without the id, whose token is another under another masking key."""
    known = record.registration
    answers = (
        known.school, known.sex, known.age, known.address, known.family_size, known.parents, known.mother_education,
        known.father_education, known.mother_job, known.father_job, known.reason, known.nursery, known.internet,
    )  # fmt: skip
    return " ".join(map(str, answers))
