"""The students model: what it may know, what it answers, and how it is evaluated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bentos.common import ndjson
from bentos.common.estimator import Figure, Trial
from bentos.common.room import load_room
from bentos.common.session import OnnxModel
from bentos.students import estimator
from bentos.students.contract import Answers, Masked, MaskedReport, Request, split_key
from bentos.students.features import FEATURES, NUMBERS, arrays
from steps.export import compare
from steps.split import split_file
from tests.masked_students import at_both_moments, read_masked

TREES = {"n_estimators": 30, "learning_rate": 0.1, "max_depth": 3, "min_child_weight": 5.0}
TREES |= {"subsample": 0.8, "colsample_bytree": 0.6, "reg_lambda": 5.0}
TRIALS = (
    Trial("xgboost", TREES),
    Trial("linear", {"alpha": 10.0}),
    Trial("xgboost_linear_late", {**TREES, "alpha": 10.0}),
)


@pytest.fixture(scope="module")
def pupils(tmp_path_factory: pytest.TempPathFactory) -> list[Masked]:
    return read_masked(tmp_path_factory.mktemp("pupils"))


@pytest.fixture(scope="module")
def fitted(pupils: list[Masked]) -> estimator.Fitted:
    known = at_both_moments(pupils[::2])
    return estimator.finish(TRIALS[2], known[:400], known[400:], 7)


@pytest.fixture(scope="module")
def graph(fitted: estimator.Fitted, tmp_path_factory: pytest.TempPathFactory) -> OnnxModel:
    path = tmp_path_factory.mktemp("graph") / "model.onnx"
    path.write_bytes(estimator.convert(fitted))
    return OnnxModel(path)


def with_grades(pupils: list[Masked], grade: int) -> list[Masked]:
    reports = [MaskedReport(period=period, grade=grade) for period in (1, 2)]
    return [pupil.model_copy(update={"reports": reports}) for pupil in pupils]


def moved(before: dict[str, NDArray[Any]], after: dict[str, NDArray[Any]]) -> set[str]:
    return {name for name in before if not np.array_equal(before[name], after[name])}


def test_no_label_and_nothing_that_knows_the_end_of_the_year_is_a_feature(pupils: list[Masked]) -> None:
    """The final grade, the enrolment, the year's absences, the id, the sex and the days may be anything."""
    before = arrays(pupils[:50])
    changes = {"final_grade": 20, "also_enrolled": False, "absences": 99, "student_id": "student:" + "0" * 32}
    other = [pupil.model_copy(update=changes) for pupil in pupils[:50]]
    for pupil in other:
        sex = "M" if pupil.registration.sex == "F" else "F"
        pupil.registration = pupil.registration.model_copy(update={"sex": sex, "time": None})
    assert moved(before, arrays(other)) == set()


def test_every_other_answer_moves_the_features(pupils: list[Masked]) -> None:
    for name in Answers.model_fields:
        values = {getattr(pupil.registration, name) for pupil in pupils}
        vectors = set()
        for value in values:
            registration = pupils[0].registration.model_copy(update={name: value})
            vectors.add(arrays([pupils[0].model_copy(update={"registration": registration})])["registration"].tobytes())
        assert len(vectors) == (1 if name == "sex" else len(values)), name


def test_a_registration_stands_in_the_vector_under_its_names(pupils: list[Masked]) -> None:
    pupil = pupils[0]
    vector = dict(zip(FEATURES, arrays([pupil])["registration"][0].tolist(), strict=True))
    assert all(vector[name] == float(getattr(pupil.registration, name)) for name in NUMBERS)
    assert vector[f"mother_job_{pupil.registration.mother_job}"] == 1
    assert sum(vector[name] for name in FEATURES if name.startswith("mother_job_")) == 1
    assert vector["course_mathematics"] == float(pupil.course == "mathematics")


def test_one_report_is_no_late_moment_and_its_grade_is_kept_from_the_late_variant(pupils: list[Masked]) -> None:
    halfway = [pupil.model_copy(update={"reports": pupil.reports[:1]}) for pupil in pupils[:20]]
    early = [pupil.model_copy(update={"reports": []}) for pupil in pupils[:20]]
    assert moved(arrays(halfway), arrays(early)) == set()


def test_the_early_grade_and_the_enrolment_do_not_change_with_the_reports(
    graph: OnnxModel, pupils: list[Masked]
) -> None:
    """Whatever the two grades are; the late one does change, so the comparison can fail."""
    low, high = (graph.run(arrays(with_grades(pupils[:100], grade))) for grade in (0, 20))
    changed = moved(low, high)
    assert changed == {"grade", "grade_late", "passes", "baseline_grade_late"}


def test_the_served_grade_is_the_early_one_without_reports_and_the_late_one_with_both(
    graph: OnnxModel, pupils: list[Masked]
) -> None:
    answered = graph.run(arrays(at_both_moments(pupils[:100])))
    assert answered["is_late"].tolist() == [False, True] * 100
    wanted = np.where(answered["is_late"], answered["grade_late"], answered["grade_early"]).clip(0, 20)
    assert np.array_equal(answered["grade"], wanted)
    assert np.array_equal(answered["passes"], (wanted >= 9.5).astype(np.int64))


@pytest.mark.parametrize("trial", TRIALS, ids=lambda trial: trial.candidate)
def test_the_graph_answers_what_the_estimators_do(trial: Trial, pupils: list[Masked], tmp_path: Path) -> None:
    known = at_both_moments(pupils[::3])
    fitted = estimator.finish(trial, known[:400], known[400:], 7)
    path = tmp_path / "model.onnx"
    path.write_bytes(estimator.convert(fitted))
    agreement, difference = compare(OnnxModel(path).run(arrays(known)), estimator.reference(fitted, known))
    assert agreement == 1.0
    assert difference < 1e-4


def test_the_same_pupils_and_seed_give_the_same_graph_to_the_byte(pupils: list[Masked]) -> None:
    known = at_both_moments(pupils[::8])
    graphs = {estimator.convert(estimator.finish(TRIALS[2], known[:160], known[160:], 7)) for _ in range(2)}
    assert len(graphs) == 1


def test_no_pupil_is_learned_from_and_tested_on_in_another_course(pupils: list[Masked], tmp_path: Path) -> None:
    """However the masking key calls them."""
    room, masked = load_room("students"), tmp_path / "masked.ndjson"
    masked.write_text("".join(f"{pupil.model_dump_json()}\n" for pupil in pupils))
    parts = [{one.student_id for one in ndjson.read(part, Masked)} for part in split_file(room, masked, tmp_path)]
    assert all(parts) and sum(map(len, parts)) == len({pupil.student_id for pupil in pupils})


def test_no_fold_learns_from_a_pupil_that_it_is_scored_on(pupils: list[Masked]) -> None:
    known = at_both_moments(pupils)
    folds = estimator.folds(known[:1500], known[1500:], 7)
    assert len(folds) == estimator.FOLDS
    for fold in folds:
        assert not {split_key(one) for one in fold.train} & {split_key(one) for one in fold.dev}
        assert len(fold.train) + len(fold.dev) == len(known)


def test_a_model_that_says_each_courses_mean_has_no_skill_and_one_that_knows_has_all(pupils: list[Masked]) -> None:
    known = at_both_moments(pupils)

    def guess(items: Any) -> dict[str, NDArray[Any]]:
        def mean(of: str) -> NDArray[Any]:
            by_course = {
                course: np.mean([float(getattr(item, of)) for item in items if item.course == course])
                for course in {item.course for item in items}
            }
            return np.array([by_course[item.course] for item in items])

        return answers(mean("final_grade"), mean("also_enrolled"))

    def know(items: Any) -> dict[str, NDArray[Any]]:
        grades = np.array([float(item.final_grade) for item in items])
        return answers(grades, np.array([float(item.also_enrolled) for item in items]))

    guessed, perfect = (estimator.figures(predict, known, 7) for predict in (guess, know))
    for question in ("early", "late", "enrolment"):
        assert guessed[f"{question}_skill"].value == pytest.approx(0, abs=1e-6)
        assert perfect[f"{question}_skill"].value == pytest.approx(1, abs=1e-6)
    assert perfect["mathematics_late_rmse"].value == 0
    assert perfect["late_pass_f1"].value == perfect["enrolment_auc"].value == 1
    assert perfect["fairness_late_mean_error_gap"].value == 0


TRIVIAL: dict[str, Callable[[Masked], tuple[float, float]]] = {
    "all pass, and all take both": lambda pupil: (10.0, 1.0),
    "all fail, and none takes both": lambda pupil: (0.0, 0.0),
    "the course's mean and its share": lambda pupil: (10.4, 0.94) if pupil.course == "mathematics" else (11.9, 0.57),
    "those in mathematics fail": lambda pupil: (9.0, 0.94) if pupil.course == "mathematics" else (12.0, 0.57),
}
"""What can be said of a pupil's grade and enrolment without a model."""


@pytest.mark.parametrize("answer", TRIVIAL.values(), ids=TRIVIAL)
def test_whoever_answers_without_a_model_misses_a_gate_on_each_question(
    answer: Callable[[Masked], tuple[float, float]], pupils: list[Masked]
) -> None:
    """Not the gates on fairness, which it may well pass, and not those on what it gains over another model."""

    def trivial(items: Any) -> dict[str, NDArray[Any]]:
        grades, enrolment = zip(*map(answer, items), strict=True)
        return answers(np.array(grades), np.array(enrolment))

    figures, problem = estimator.figures(trivial, at_both_moments(pupils), 7), load_room("students").problem
    held = [name for name in problem.gates if name in figures and "fairness" not in name and "_gain_" not in name]
    missed = [name for name in held if not problem.gate(name, figures[name].value).passed]
    for question in ("early_skill", "late_skill", "enrolment_skill"):
        assert question in missed
    for course in ("mathematics", "portuguese"):
        for name in (f"{course}_late_balanced_accuracy", f"{course}_enrolment_auc"):
            assert figures[name].value == pytest.approx(0.5)
            assert name in missed


def test_saying_that_all_pass_gains_nothing_over_saying_so_and_repeating_the_second_grade_nothing_over_it(
    pupils: list[Masked],
) -> None:
    known = at_both_moments(pupils)

    def repeat(items: Any) -> dict[str, NDArray[Any]]:
        grades = np.array([float(item.reports[1].grade if item.reports else 20) for item in items])
        return answers(grades, np.array([float(item.also_enrolled) for item in items]))

    figures = estimator.figures(repeat, known, 7)
    assert figures["early_pass_f1"].value > 0.85
    assert figures["early_pass_f1_gain_over_all_pass"].value == 0
    assert figures["late_rmse_gain_over_second_grade"].value == 0
    assert figures["late_fail_f1_gain_over_second_grade"].value == 0
    assert figures["mathematics_late_balanced_accuracy"].value > 0.85


def test_a_model_that_expects_two_points_less_of_one_school_has_a_gap_of_two_points(pupils: list[Masked]) -> None:
    known = at_both_moments(pupils)

    def unfair(items: Any) -> dict[str, NDArray[Any]]:
        grades = np.array([item.final_grade - 2.0 * (item.registration.school == "MS") for item in items])
        return answers(grades, np.array([float(item.also_enrolled) for item in items]))

    figures = estimator.figures(unfair, known, 7)
    assert figures["fairness_early_mean_error_gap"].value == pytest.approx(2)
    assert figures["early_mean_error_school_MS"].value == pytest.approx(-2)
    assert figures["early_mean_error_school_GP"].value == pytest.approx(0)
    assert figures["fairness_early_pass_recall_ratio"].value < 0.8
    problem = load_room("students").problem
    for gate in ("fairness_early_mean_error_gap", "fairness_early_pass_recall_ratio"):
        assert not problem.gate(gate, figures[gate].value).passed


def test_the_report_shows_how_many_pupils_stand_behind_the_figure_of_each_group(
    graph: OnnxModel, pupils: list[Masked]
) -> None:
    known = at_both_moments(pupils[1::2])
    seen = {picture.title: picture for picture in estimator.pictures(lambda items: graph.run(arrays(items)), known, 7)}
    columns, cells = seen["Foreseen by group"].series["MS"]
    said = dict(zip(columns, cells, strict=True))
    failed = sum(pupil.registration.school == "MS" and pupil.final_grade < 10 for pupil in pupils[1::2])
    assert said["of (late, fail foreseen)"] == said["of (early, fail foreseen)"] == failed
    assert 0 <= said["early, fail foreseen"] < said["late, fail foreseen"] <= 1
    (labels, _), *_ = seen["Mean error by group"].series.values()
    assert f"MS, late ({sum(pupil.registration.school == 'MS' for pupil in pupils[1::2])})" in labels


def test_pupils_of_one_school_alone_have_no_gap_between_schools_and_pass_no_gate_on_one(pupils: list[Masked]) -> None:
    """Nor do those of a class too small to say anything of it."""
    few = [pupil for pupil in pupils if pupil.registration.school == "MS"][:5]
    alone = [pupil for pupil in pupils if pupil.registration.school == "GP"]

    def know(items: Any) -> dict[str, NDArray[Any]]:
        grades = np.array([float(item.final_grade) for item in items])
        return answers(grades, np.array([float(item.also_enrolled) for item in items]))

    problem = load_room("students").problem
    gates = [name for name in problem.gates if name.startswith("fairness_")]
    assert gates
    for school in (alone, alone + few):
        figures = estimator.figures(know, at_both_moments(school), 7)
        assert not [name for name in gates if problem.gate(name, figures[name].value).passed]
    assert figures["late_passed_school_MS"].value + figures["late_failed_school_MS"].value == 5


def test_figures_hold_each_course_each_variant_each_slice_and_the_gain_over_the_baseline(
    graph: OnnxModel, pupils: list[Masked]
) -> None:
    def served(items: Any) -> dict[str, NDArray[Any]]:
        return graph.run(arrays(items))

    found = estimator.figures(served, at_both_moments(pupils[1::2]), 7)
    for course in ("mathematics", "portuguese"):
        for variant in ("early", "late"):
            figure = found[f"{course}_{variant}_rmse"]
            assert figure.low is not None and figure.high is not None and figure.low < figure.value < figure.high
            assert f"{course}_{variant}_rmse_gain_over_linear" in found
            assert 0 <= found[f"{course}_{variant}_pass_f1"].value <= 1
        assert 0.5 < found[f"{course}_enrolment_auc"].value <= 1
    for group in ("sex_F", "sex_M", "school_GP", "school_MS", "address_urban", "address_rural"):
        assert f"late_mean_error_{group}" in found and f"enrolment_mean_error_{group}" in found
        assert found[f"late_failed_{group}"].value > 0
    for variant in ("early", "late"):
        passed, failed = (
            found[f"{variant}_{count}_sex_F"].value + found[f"{variant}_{count}_sex_M"].value
            for count in ("passed", "failed")
        )
        assert passed + failed == len(pupils[1::2])
    assert found["late_rmse"].value < found["early_rmse"].value
    gains = estimator.compare(served, served, at_both_moments(pupils[1::2]), 7)
    assert {name: figure.value for name, figure in gains.items()} == {
        "champion_early_skill_gain": 0,
        "champion_late_skill_gain": 0,
        "champion_enrolment_skill_gain": 0,
    }


@pytest.fixture
def over_folds(
    fitted: estimator.Fitted, pupils: list[Masked], monkeypatch: pytest.MonkeyPatch
) -> Callable[[Callable[[Masked], float]], Mapping[str, Figure]]:
    """Figures over folds of a model that says this grade of a pupil, which no fold has learnt from."""
    seen: list[set[str]] = []

    def learn(trial: Trial, train: Any, seed: int) -> estimator.Fitted:
        assert trial == fitted.trial
        seen.append({split_key(pupil) for pupil in train})
        return fitted

    def judged(grade: Callable[[Masked], float]) -> Mapping[str, Figure]:
        def say(_: estimator.Fitted, items: Any) -> dict[str, NDArray[Any]]:
            assert not seen[-1] & {split_key(pupil) for pupil in items}
            return {"grade": np.array([grade(item) for item in items])}

        monkeypatch.setattr(estimator, "fit", learn)
        monkeypatch.setattr(estimator, "reference", say)
        found = estimator.cross_validated(fitted, at_both_moments(pupils), 7)
        assert len(seen) == estimator.FOLDS
        return found

    return judged


def test_over_folds_every_pupil_who_fails_is_judged_by_a_model_that_has_not_seen_it(
    over_folds: Callable[[Callable[[Masked], float]], Mapping[str, Figure]], pupils: list[Masked]
) -> None:
    found = over_folds(lambda pupil: float(pupil.final_grade))
    failed = sum(pupil.final_grade < 10 for pupil in pupils)
    for attribute, groups in estimator.ATTRIBUTES.items():
        counts = [found[f"cross_validated_late_failed_{attribute}_{group}"].value for group in groups]
        assert sum(counts) == failed and min(counts) > 50
        assert {found[f"cross_validated_late_fail_recall_{attribute}_{group}"].value for group in groups} == {1}
    assert found["cross_validated_fairness_late_fail_recall_ratio"].value == 1


def test_a_model_that_finds_the_girls_who_fail_and_overlooks_the_boys_passes_no_gate(
    over_folds: Callable[[Callable[[Masked], float]], Mapping[str, Figure]],
) -> None:
    found = over_folds(lambda pupil: 10.0 if pupil.registration.sex == "M" else float(pupil.final_grade))
    recalls = [found[f"cross_validated_late_fail_recall_sex_{sex}"].value for sex in ("F", "M")]
    gate = "cross_validated_fairness_late_fail_recall_ratio"
    assert (recalls, found[gate].value) == ([1, 0], 0)
    assert not load_room("students").problem.gate(gate, found[gate].value).passed


def test_a_request_with_a_full_record_gets_the_vector_of_the_pupil_it_is_about(pupils: list[Masked]) -> None:
    pupil = pupils[0]
    request = Request.model_validate(
        {
            "course": pupil.course,
            "registration": pupil.registration.model_dump(exclude={"time"}),
            "reports": [report.model_dump(exclude={"time"}) for report in pupil.reports],
        }
    )
    assert moved(arrays([pupil]), arrays([request])) == set()


def answers(grades: NDArray[Any], enrolment: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """The graph's outputs for a model that says these, and a baseline that says the same."""
    return {
        f"{prefix}{name}": value
        for prefix in ("", "baseline_")
        for name, value in (
            ("grade", grades),
            ("grade_early", grades),
            ("grade_late", grades),
            ("enrolment", enrolment),
        )
    }
