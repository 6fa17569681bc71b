"""What is a pupil's document, what is none, and what may be asked of the service."""

from __future__ import annotations

import copy
import io
import json
import re
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import ValidationError

from bentos.common import gatekeeper
from bentos.common.masking import masker
from bentos.students import contract
from bentos.students.contract import EXAMPLE, Masked, Record, Request, record_id, split_key
from tests.admitted import KEY
from tests.masked_students import COURSES, documents, read_masked

CANARIES = {
    "student": {"name": "Canary Name", "email": "canary-1@example.com", "phone": "+1 202-555-0199"},
    "guardian": {"name": "Canary Guardian", "email": "canary-2@example.com", "phone": "+1 202-555-0198"},
}


def document(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(documents("mathematics", 1)[0]), **changes}


def refusal(kind: type[Record | Request], content: dict[str, Any]) -> str:
    with pytest.raises(ValidationError) as refused:
        kind.model_validate_json(json.dumps(content))
    assert "Canary" not in str(refused.value)
    return str(refused.value.errors(include_input=False)[0]["msg"])


def test_all_shipped_pupils_are_accepted_but_the_one_whose_family_size_the_source_garbles() -> None:
    raw = b"".join(json.dumps(one).encode() + b"\n" for course in COURSES for one in documents(course))
    accepted, quarantine = io.BytesIO(), io.BytesIO()
    report = gatekeeper.admit(
        io.BytesIO(raw), cast(gatekeeper.Contract, contract), KEY.encode(), accepted, quarantine, datetime.now(UTC)
    )
    assert (report.documents, report.accepted, report.duplicates) == (1044, 1043, 0)
    assert [reason.field for reason in report.reasons] == ["registration.family_size"]


def test_the_pupils_in_both_courses_are_those_that_stand_in_both_files_under_one_id() -> None:
    """370 pupils: UCI counts 382 pairs of rows that agree, some pupils agreeing with two."""
    ids = [{one["student_id"] for one in documents(course)} for course in COURSES]
    for course in COURSES:
        for one in documents(course):
            assert one["also_enrolled"] == (one["student_id"] in ids[0] & ids[1])
    assert len(ids[0] & ids[1]) == 370


def test_people_in_the_shipped_batches_can_not_be_anybody() -> None:
    for one in (*documents("mathematics"), *documents("portuguese")):
        for person in (one["student"], one["guardian"]):
            assert re.fullmatch(r"[a-z]+\.[a-z]+\.[0-9]{4}@example\.org", person["email"])
        assert re.fullmatch(r"\+1 202-555-01[0-9]{2}", one["guardian"]["phone"])


def test_masking_leaves_one_token_of_a_pupil_the_same_in_both_courses_and_nothing_else_of_people(
    tmp_path: Path,
) -> None:
    masked = masker(Record, KEY.encode())(Record.model_validate_json(json.dumps(document(**CANARIES))))
    assert re.search("canary|555-01|S[0-9]{5}|email|phone", json.dumps(masked), re.IGNORECASE) is None
    assert not {"student", "guardian"} & set(masked)
    Masked.model_validate_json(json.dumps(masked))
    times = Counter(pupil.student_id for pupil in read_masked(tmp_path))
    assert Counter(times.values())[2] > 350


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"final_grade": 21}, "less than or equal to 20"),
        ({"course": "history"}, "'mathematics' or 'portuguese'"),
        ({"student_id": "Ada Example"}, "should match pattern"),
        ({"time": "2005-09-15T09:00:00Z"}, "must end after its registration"),
        ({"time": "2999-01-01T00:00:00Z"}, "must not be in the future"),
        ({"reports": [{"period": 1, "time": "2005-12-16T12:00:00Z", "grade": 9}] * 2}, "one report a period"),
        ({"nickname": "Canary"}, "Extra inputs are not permitted"),
    ],
)
def test_a_document_that_is_no_pupil_is_refused_without_repeating_it(changes: dict[str, Any], said: str) -> None:
    assert said in refusal(Record, document(**changes))


@pytest.mark.parametrize(
    "content",
    [
        {"course": "mathematics"},
        {"course": "mathematics", "student_id": "S10001", "reports": EXAMPLE["reports"]},
    ],
)
def test_a_request_names_a_pupil_or_holds_a_registration(content: dict[str, Any]) -> None:
    assert "must hold a registration, or a student_id alone" in refusal(Request, content)


def test_what_is_kept_of_a_request_holds_no_answers() -> None:
    """They tell a pupil apart whose id is a token or was not given."""
    request = Request.model_validate({**EXAMPLE, "student_id": "S10001"})
    kept = masker(Request, KEY.encode())(request)
    assert set(kept) == {"course", "student_id", "reports"}
    assert kept["student_id"].startswith("student:")


def test_a_pupil_in_a_course_is_one_record_and_a_pupils_courses_are_split_together(tmp_path: Path) -> None:
    pupils = read_masked(tmp_path)
    assert len({record_id(pupil) for pupil in pupils}) == len(pupils)
    keys: dict[str, set[str]] = {}
    for pupil in pupils:
        keys.setdefault(pupil.student_id, set()).add(split_key(pupil))
    assert all(len(found) == 1 for found in keys.values())


def test_the_key_of_the_split_does_not_depend_on_the_masking_key() -> None:
    """Else every machine would hold out other pupils."""
    record = Record.model_validate_json(json.dumps(document()))
    masked = [Masked.model_validate_json(json.dumps(masker(Record, key * 32)(record))) for key in (b"a", b"b")]
    assert masked[0].student_id != masked[1].student_id
    assert split_key(masked[0]) == split_key(masked[1])


HEADER = "school;sex;age;address;famsize;Pstatus;Medu;Fedu;Mjob;Fjob;reason;guardian;traveltime;studytime;failures;"
HEADER += "schoolsup;famsup;paid;activities;nursery;higher;internet;romantic;famrel;freetime;goout;Dalc;Walc;health;"
HEADER += "absences;G1;G2;G3\n"
REST = "mother;1;2;0;no;yes;no;no;yes;yes;yes;no;4;3;2;1;1;5;2"
ADA = f"GP;F;16;U;GT3;T;4;4;teacher;health;course;{REST}"
ALAN = f"MS;M;17;R;LE3;A;1;1;other;other;home;{REST}"


def test_the_source_becomes_documents_the_same_bytes_each_time(tmp_path: Path, checkout: Path) -> None:
    mathematics, portuguese = tmp_path / "mat.csv", tmp_path / "por.csv"
    mathematics.write_text(f'{HEADER}{ADA};"5";"6";7\n{ALAN};"1";"2";3\n')
    portuguese.write_text(f"{HEADER}{ADA.replace('GT3', '2')};8;9;10\n")
    for out in ("once", "again"):
        command = [sys.executable, str(checkout / "tools/derive_students.py"), str(mathematics), str(portuguese)]
        subprocess.run([*command, str(tmp_path / out)], check=True, capture_output=True)
    names = [f"{course}-2006.ndjson" for course in COURSES]
    assert all((tmp_path / "once" / name).read_bytes() == (tmp_path / "again" / name).read_bytes() for name in names)
    first, second = ([json.loads(line) for line in (tmp_path / "once" / name).open()] for name in names)
    assert [one["also_enrolled"] for one in (*first, *second)] == [True, False, True]
    assert first[0]["student_id"] == second[0]["student_id"] != first[1]["student_id"]
    assert [report["grade"] for report in first[0]["reports"]] == [5, 6]
    assert (first[0]["final_grade"], first[0]["absences"], first[1]["registration"]["address"]) == (7, 2, "rural")
