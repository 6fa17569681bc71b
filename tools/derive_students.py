"""Derive the raw pupils under data/students from UCI's files: `python tools/derive_students.py MAT POR [OUT]`.

Every answer and every grade is real. Names, addresses and numbers of people, the ids of pupils and the days of the
school year are synthetic, drawn from hashes, so that the same two files always give the same bytes. data/README.md says
which field is which.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

Row = dict[str, str]
Pupil = dict[str, Any]

COURSES = ("mathematics", "portuguese")
# What UCI's own student-merge.R recognises a pupil by in both files.
SAME = "school sex age address famsize Pstatus Medu Fedu Mjob Fjob reason nursery internet".split()
# Cortez and Silva asked and counted in the school year 2005 to 2006; the days are ours.
ENROLLED, FIRST, SECOND, FINAL = (
    "2005-09-15T09:00:00Z",
    "2005-12-16T12:00:00Z",
    "2006-03-31T12:00:00Z",
    "2006-06-16T12:00:00Z",
)
GIVEN_NAMES: tuple[str, ...] = ("Ada", "Alan", "Barbara", "Claude", "Donald", "Edith", "Frances", "Grace")
GIVEN_NAMES += ("Hedy", "Ida", "John", "Katherine", "Leslie", "Mary", "Niklaus", "Radia")
FAMILY_NAMES = ("Example", "Sample", "Specimen", "Placeholder", "Fictional", "Testman", "Mockford", "Dummett")
NAMES = {
    "school": "school",
    "sex": "sex",
    "age": "age",
    "address": "address",
    "famsize": "family_size",
    "Pstatus": "parents",
    "Medu": "mother_education",
    "Fedu": "father_education",
    "Mjob": "mother_job",
    "Fjob": "father_job",
    "reason": "reason",
    "guardian": "guardian",
    "traveltime": "travel_time",
    "studytime": "study_time",
    "failures": "failures",
    "schoolsup": "school_support",
    "famsup": "family_support",
    "paid": "paid_classes",
    "activities": "activities",
    "nursery": "nursery",
    "higher": "wants_higher_education",
    "internet": "internet",
    "romantic": "relationship",
    "famrel": "family_relations",
    "freetime": "free_time",
    "goout": "going_out",
    "Dalc": "weekday_alcohol",
    "Walc": "weekend_alcohol",
    "health": "health",
}
WORDS = {"yes": True, "no": False, "U": "urban", "R": "rural", "GT3": "more_than_3", "LE3": "3_or_fewer"}
WORDS |= {"T": "together", "A": "apart"}


def main() -> None:
    """Write one batch for each course and say what it holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mat", type=Path, help="student-mat.csv")
    parser.add_argument("por", type=Path, help="student-por.csv")
    default = Path(__file__).resolve().parents[1] / "data" / "students"
    parser.add_argument("out", type=Path, nargs="?", default=default, help="the folder to write to (data/students)")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for course, pupils in zip(COURSES, derive(options.mat, options.por), strict=True):
        path = options.out / f"{course}-2006.ndjson"
        text = "".join(json.dumps(pupil, ensure_ascii=False, separators=(",", ":")) + "\n" for pupil in pupils)
        path.write_text(text, encoding="utf-8", newline="\n")
        print(f"{path.name}: {len(pupils)} pupils, {sum(pupil['also_enrolled'] for pupil in pupils)} in both courses")


def derive(mat: Path, por: Path) -> tuple[list[Pupil], list[Pupil]]:
    """The pupils of each course in the order of its file. Who is in both has one id in both."""
    rows = read(mat), read(por)
    partners = dict(pairs(*rows))
    both = set(partners), set(partners.values())
    pupils = [(0, number) for number in range(len(rows[0]))]
    pupils += [(1, number) for number in range(len(rows[1])) if number not in both[1]]
    # In the order of a hash, so that an id says nothing of who is in which course.
    ids = {who: f"S{10_001 + at}" for at, who in enumerate(sorted(pupils, key=lambda who: _draw("id", f"{who}")))}
    ids |= {(1, other): ids[0, one] for one, other in partners.items()}
    courses = [
        [pupil(ids[place, number], course, row, number in both[place]) for number, row in enumerate(rows[place])]
        for place, course in enumerate(COURSES)
    ]
    return courses[0], courses[1]


def read(path: Path) -> list[Row]:
    """The rows of one of the two files."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter=";"))


def pairs(mathematics: list[Row], portuguese: list[Row]) -> list[tuple[int, int]]:
    """Which row of one course and which of the other are one pupil, each row in one pair at most.

    Where several agree in all that `SAME` names, the two that agree in most of the other answers are taken first. One
    row of the second file has a family size that is none; it agrees where the rest does.
    """
    alike: dict[tuple[str, ...], tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for place, rows in enumerate((mathematics, portuguese)):
        for number, row in enumerate(rows):
            # Both sizes for the row whose own is none.
            sizes = [row["famsize"]] if row["famsize"] in WORDS else ["GT3", "LE3"]
            keys = [tuple(size if name == "famsize" else row[name] for name in SAME) for size in sizes]
            alike[next((key for key in keys if key in alike), keys[0])][place].append(number)
    found = []
    for ones, others in alike.values():
        possible = sorted(
            (-_agreeing(mathematics[one], portuguese[other]), one, other) for one in ones for other in others
        )
        taken_ones, taken_others = set[int](), set[int]()
        for _, one, other in possible:
            if one not in taken_ones and other not in taken_others:
                taken_ones.add(one)
                taken_others.add(other)
                found.append((one, other))
    return found


def _agreeing(one: Row, other: Row) -> int:
    return sum(one[name] == other[name] for name in NAMES)


def pupil(name: str, course: str, row: Row, also_enrolled: bool) -> Pupil:
    """The document of one pupil in one course at the end of the year."""
    return {
        "student_id": name,
        "course": course,
        "time": FINAL,
        "student": person(name),
        "guardian": {**person(f"guardian of {name}"), "phone": f"+1 202-555-01{_draw('phone', name) % 100:02d}"},
        "registration": {"time": ENROLLED, **{NAMES[key]: _value(row[key]) for key in NAMES}},
        "reports": [
            {"period": 1, "time": FIRST, "grade": int(row["G1"])},
            {"period": 2, "time": SECOND, "grade": int(row["G2"])},
        ],
        "absences": int(row["absences"]),
        "final_grade": int(row["G3"]),
        "also_enrolled": also_enrolled,
    }


def person(key: str) -> dict[str, str]:
    """A made-up person, always the same for the same key."""
    draw = _draw("person", key)
    given, family = GIVEN_NAMES[draw % len(GIVEN_NAMES)], FAMILY_NAMES[(draw >> 8) % len(FAMILY_NAMES)]
    number = (draw >> 16) % 10_000
    return {"name": f"{given} {family}", "email": f"{given}.{family}.{number:04d}@example.org".lower()}


def _value(text: str) -> Any:
    return int(text) if text.isdigit() else WORDS.get(text, text)


def _draw(purpose: str, key: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{purpose}:{key}".encode()).digest()[:8], "big")


if __name__ == "__main__":
    main()
