"""What must hold of the accepted, masked pupils as a whole: the Great Expectations suite, and the table it looks at.

One record at a time is the contract's business; here stands what only many of them show: shares, ranges and repeats.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bentos.common import ndjson
from bentos.common.expectations import because
from bentos.students.contract import COURSES, Masked

if TYPE_CHECKING:
    import pandas as pd
    from great_expectations import ExpectationSuite


def suite() -> ExpectationSuite:
    """The expectations, each with the reason for it in `meta.why`."""
    import great_expectations.expectations as gxe
    from great_expectations import ExpectationSuite

    return ExpectationSuite(
        name="students",
        expectations=[
            gxe.ExpectTableRowCountToBeBetween(
                min_value=200, **because("Fewer pupils leave slices too small to judge a model's fairness by.")
            ),
            gxe.ExpectCompoundColumnsToBeUnique(
                column_list=["student", "course"], **because("A pupil who stands twice in a course counts twice.")
            ),
            gxe.ExpectColumnValuesToMatchRegex(
                column="student", regex=r"^student:[0-9a-f]{32}$", **because("Pupils are tokens behind masking.")
            ),
            gxe.ExpectColumnDistinctValuesToEqualSet(
                column="course", value_set=list(COURSES), **because("Both courses are predicted, so both are learned.")
            ),
            gxe.ExpectColumnMeanToBeBetween(
                column="is_female", min_value=0.3, max_value=0.7, **because("Else one sex is too few to be judged.")
            ),
            gxe.ExpectColumnMeanToBeBetween(
                column="is_first_school", min_value=0.2, max_value=0.9, **because("Else one school is too few.")
            ),
            gxe.ExpectColumnMeanToBeBetween(
                column="is_urban", min_value=0.2, max_value=0.9, **because("Else one kind of address is too few.")
            ),
            gxe.ExpectColumnMedianToBeBetween(
                column="age", min_value=15, max_value=19, **because("Secondary school, not years of birth.")
            ),
            gxe.ExpectColumnMeanToBeBetween(
                column="final_grade", min_value=8, max_value=15, **because("Points of 20, not percent.")
            ),
            gxe.ExpectColumnMeanToBeBetween(
                column="ends_with_zero", max_value=0.1, **because("Pupils who left; many of them are a broken export.")
            ),
            gxe.ExpectColumnValuesToNotBeNull(
                column="second_grade", mostly=0.95, **because("The late variant learns from pupils with both reports.")
            ),
            gxe.ExpectColumnPairValuesAToBeGreaterThanB(
                column_A="time",
                column_B="registered",
                **because("A grade that is older than its registration is another pupil's."),
            ),
            gxe.ExpectColumnMeanToBeBetween(
                column="also_enrolled",
                min_value=0.3,
                max_value=0.99,
                **because("Nobody takes both where one file is missing."),
            ),
        ],
    )


def frame(masked: Path) -> pd.DataFrame:
    """One row a pupil in a course: the answers, the grades, and what the suite counts."""
    import pandas as pd

    return pd.DataFrame([_row(pupil) for pupil in ndjson.read(masked, Masked)])


def _row(pupil: Masked) -> dict[str, Any]:
    grades = {report.period: report.grade for report in pupil.reports}
    answers = pupil.registration.model_dump(exclude={"time"})
    return {
        "student": pupil.student_id,
        "course": pupil.course,
        "registered": pupil.registration.time,
        "time": pupil.time,
        **answers,
        "first_grade": grades.get(1),
        "second_grade": grades.get(2),
        "final_grade": pupil.final_grade,
        "absences": pupil.absences,
        "also_enrolled": float(pupil.also_enrolled),
        "is_female": float(pupil.registration.sex == "F"),
        "is_first_school": float(pupil.registration.school == "GP"),
        "is_urban": float(pupil.registration.address == "urban"),
        "ends_with_zero": float(pupil.final_grade == 0),
    }
