"""The students estimator: a final grade for the early and for the late moment of the year, and an enrolment.

Three models on the same answers: gradient-boosted trees (XGBoost, Chen and Guestrin 2016), regularised linear ones
(ridge regression, Hoerl and Kennard 1970, and its logistic sister), or trees with a linear model of the late grade,
which is nearly a sum of the earlier grades; the search finds which. Beside them linear ones with fixed parameters are
the baseline, in the same graph, so that whoever evaluates it compares on the same rows. A record is a pupil in a course
at one moment: without reports the early one, with both the late one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from bentos.common import classification, cross_validation, evaluation, fairness, regression, skill
from bentos.common import pictures as usual
from bentos.common.classification import Judged
from bentos.common.estimator import Arrays, Candidate, Figure, Fold, Picture, Predict, Range, Run, Split, Trial
from bentos.common.evaluation import Floats
from bentos.common.tuning import OptunaSearch
from bentos.students.contract import BEST_GRADE, COURSES, PASSING_GRADE, Answers, Masked, split_key
from bentos.students.features import FEATURES, GRADES, arrays

SPLIT = Split(by="hash", train=0.6, dev=0.2)
METRIC = "mean_skill"
TREES: Mapping[str, Sequence[Any] | Range] = {
    "n_estimators": Range(60, 300),
    "learning_rate": Range(0.02, 0.15, log=True),
    "max_depth": (2, 3, 4),
    "min_child_weight": Range(2.0, 20.0, log=True),
    "subsample": Range(0.5, 0.9),
    "colsample_bytree": Range(0.3, 0.8),
    "reg_lambda": Range(1.0, 30.0, log=True),
}
PENALTY: Mapping[str, Sequence[Any] | Range] = {"alpha": Range(1.0, 1_000.0, log=True)}
CANDIDATES = (
    Candidate("xgboost", TREES),
    Candidate("linear", PENALTY),
    Candidate("xgboost_linear_late", {**TREES, **PENALTY}),
)
BASELINE = Trial("linear", {"alpha": 100.0})
FOLDS = 5
LEAST_TO_PASS = PASSING_GRADE - 0.5
"""Grades are whole: a predicted one that rounds to a pass is a pass."""
ATTRIBUTES = {name: get_args(Answers.model_fields[name].annotation) for name in ("sex", "school", "address")}
"""By what the fairness slices are cut, and every group that there is."""


@dataclass(frozen=True)
class Models:
    """A model for each question. `late` reads the registration and the grades, the others the registration alone."""

    early: Any
    late: Any
    enrolment: Any


@dataclass(frozen=True)
class Fitted:
    """What answers, what it is compared with, and the trial that it was fitted by."""

    models: Models
    baseline: Models
    trial: Trial


def search(seed: int) -> OptunaSearch:
    """Optuna's, over both kinds."""
    return OptunaSearch(CANDIDATES, seed)


def folds(train: Sequence[Masked], dev: Sequence[Masked], seed: int) -> Sequence[Fold]:
    """Five of all that is not test, a pupil's records together in each."""
    from sklearn.model_selection import GroupKFold

    items = [*train, *dev]
    groups = [split_key(item) for item in items]
    dealt = GroupKFold(FOLDS, shuffle=True, random_state=seed).split(items, groups=groups)
    return tuple(Fold([items[at] for at in one], [items[at] for at in other]) for one, other in dealt)


def fit(trial: Trial, train: Sequence[Masked], seed: int) -> Fitted:
    """The three models of the trial's kind. The baseline is fitted where the winner is finished."""
    models = _fit(trial, train, seed)
    return Fitted(models, models, trial)


def score(fitted: Fitted, dev: Sequence[Masked], seed: int) -> float:
    """The mean skill over the three questions: R² within a course of both grades, and the like of the log loss."""
    answered, known = reference(fitted, dev), _Known.of(dev)
    return float(np.mean(list(_skills(answered, known, np.ones((1, len(dev)))).values())))


def finish(trial: Trial, train: Sequence[Masked], dev: Sequence[Masked], seed: int) -> Fitted:
    """Fitted on all that is not test, with the baseline beside it."""
    items = [*train, *dev]
    return Fitted(_fit(trial, items, seed), _fit(BASELINE, items, seed), trial)


def convert(fitted: Fitted) -> bytes:
    """One graph. Inputs `registration`, `grades` and `late`; outputs by row: `grade` (the late one where `late`, else
    the early one), `passes` (0 or 1), `is_late`, `enrolment` (a probability), each variant, the baseline's."""
    from onnx import TensorProto, helper, numpy_helper

    from bentos.common.graph_merging import Part, Tensor, merged

    parts, after, outputs = [], [], {}
    flat = numpy_helper.from_array(np.array([-1]), "flat")
    served = {"grade": Tensor(), "passes": Tensor(TensorProto.INT64), "is_late": Tensor(TensorProto.BOOL)}
    named = {"least": LEAST_TO_PASS, "worst": 0, "best": BEST_GRADE}
    grades = [numpy_helper.from_array(np.array(grade, dtype=np.float32), name) for name, grade in named.items()]
    for prefix, models in (("", fitted.models), ("baseline_", fitted.baseline)):
        for question in ("early", "late"):
            name = f"{prefix}grade_{question}"
            width = len(FEATURES) + (len(GRADES) if question == "late" else 0)
            rows = "both" if question == "late" else "registration"
            parts.append(Part(name, _graph(getattr(models, question), width), rows))
            after.append(helper.make_node("Reshape", [f"{name}/value", "flat"], [name]))
            outputs[name] = Tensor()
        name = f"{prefix}enrolment"
        parts.append(Part(name, _graph(models.enrolment, len(FEATURES)), "registration"))
        after.append(helper.make_node("Gather", [f"{name}/probabilities", "yes"], [name], axis=1))
        outputs[name] = Tensor()
    after += [
        helper.make_node("Reshape", ["late", "flat"], ["is_late"]),
        helper.make_node("Where", ["is_late", "grade_late", "grade_early"], ["any_grade"]),
        helper.make_node("Clip", ["any_grade", "worst", "best"], ["grade"]),
        helper.make_node("GreaterOrEqual", ["grade", "least"], ["is_pass"]),
        helper.make_node("Cast", ["is_pass"], ["passes"], to=TensorProto.INT64),
    ]
    return merged(
        "students",
        inputs={
            "registration": Tensor(columns=len(FEATURES)),
            "grades": Tensor(columns=len(GRADES)),
            "late": Tensor(TensorProto.BOOL, columns=1),
        },
        before=[helper.make_node("Concat", ["registration", "grades"], ["both"], axis=1)],
        parts=parts,
        after=after,
        outputs={**served, **outputs},
        constants=[flat, numpy_helper.from_array(np.array(1), "yes"), *grades],
    )


def reference(fitted: Fitted, items: Sequence[Masked]) -> Arrays:
    """What XGBoost and scikit-learn themselves answer."""
    inputs = arrays(items)
    registration = inputs["registration"]
    both = np.hstack([registration, inputs["grades"]])
    answered: Arrays = {}
    for prefix, models in (("", fitted.models), ("baseline_", fitted.baseline)):
        answered[f"{prefix}grade_early"] = models.early.predict(registration).astype(np.float32)
        answered[f"{prefix}grade_late"] = models.late.predict(both).astype(np.float32)
        answered[f"{prefix}enrolment"] = models.enrolment.predict_proba(registration)[:, 1].astype(np.float32)
    late = inputs["late"][:, 0]
    grade = np.where(late, answered["grade_late"], answered["grade_early"]).clip(0, BEST_GRADE)
    return {"grade": grade, "passes": (grade >= LEAST_TO_PASS).astype(np.int64), "is_late": late, **answered}


def figures(predict: Predict, test: Sequence[Masked], seed: int) -> Mapping[str, Figure]:
    """For all pupils and for each course: the error of both grades, who passes and fails, the enrolment's AUC, and what
    they gain over the baseline and over no model; for each slice of pupils what the gaps are made of, and the gaps."""
    answered, known = predict(test), _Known.of(test)
    weights = known.drawn_together(seed)
    found = dict(_accuracy("", answered, known, weights))
    for course in COURSES:
        found |= _accuracy(f"{course}_", answered, known, weights * (known.course == course))
    skills, base_skills = (_skills(answered, known, weights, kind) for kind in ("", "baseline_"))
    for question, drawn in skills.items():
        found[f"{question}_skill"] = evaluation.figure(drawn)
        found[f"{question}_skill_gain_over_linear"] = evaluation.figure(drawn - base_skills[question])
    return found | _fairness(answered, known, weights)


def cross_validated(fitted: Fitted, known: Sequence[Masked], seed: int) -> Mapping[str, Figure]:
    """Of the pupils who fail, the share that is foreseen, by group, and the gap: the test set has too few of them to
    compare groups by. What was fitted is fitted again, five times, on the other pupils than those that it is judged on;
    its trial was chosen by some of them, which may flatter the shares a little, and no group before another."""
    place = {id(pupil): at for at, pupil in enumerate(known)}
    grade = np.zeros(len(known))
    for fold in folds(known, (), seed):
        answered = reference(fit(fitted.trial, fold.train, seed), fold.dev)
        grade[[place[id(pupil)] for pupil in fold.dev]] = answered["grade"]
    truth = _Known.of(known)
    weights = truth.drawn_together(seed)
    found: dict[str, Figure] = {}
    for variant, chosen in truth.moments.items():
        recalls = _slices({"grade": grade}, truth, chosen, weights)["fail_recall"]
        found |= fairness.figures(f"{variant}_fail_recall", recalls) | fairness.counts(f"{variant}_failed", recalls)
        found[f"fairness_{variant}_fail_recall_ratio"] = evaluation.figure(fairness.least_ratio(recalls))
    return {cross_validation.PREFIX + name: figure for name, figure in found.items()}


def compare(candidate: Predict, champion: Predict, test: Sequence[Masked], seed: int) -> Mapping[str, Figure]:
    """How much better the candidate does than the champion, the pupils drawn for both together."""
    known = _Known.of(test)
    weights = known.drawn_together(seed)
    one, other = _skills(candidate(test), known, weights), _skills(champion(test), known, weights)
    return {f"champion_{name}_skill_gain": evaluation.figure(one[name] - other[name]) for name in one}


def importance(run: Run, test: Sequence[Masked], seed: int) -> Mapping[str, float]:
    """How far each answer and each grade moves the predicted grade, over both moments."""
    inputs = arrays(test)
    moved = {
        **evaluation.permutation_importance(run, inputs, "registration", FEATURES, "grade", seed),
        **evaluation.permutation_importance(run, inputs, "grades", GRADES, "grade", seed),
    }
    return dict(sorted(moved.items(), key=lambda item: item[1], reverse=True))


def pictures(predict: Predict, test: Sequence[Masked], seed: int) -> Sequence[Picture]:
    """Estimates and residuals of both grades, the curves of the enrolment, and what the slices' residuals are."""
    answered, known = predict(test), _Known.of(test)
    drawn: list[Picture] = []
    for variant, chosen in known.moments.items():
        estimate = _floats(answered, "grade")[chosen]
        drawn += usual.of_numbers(known.grade[chosen], estimate, f"the final grade, {variant}")
    chosen = known.moments["early"]
    probability = _floats(answered, "enrolment")[chosen]
    judged = Judged(known.enrolled[chosen], probability >= 0.5, probability, "one_course", "both_courses")
    drawn += usual.of_classes(judged)
    errors: dict[str, float] = {}
    shares: dict[str, fairness.Slices] = {}
    for variant, chosen in known.moments.items():
        slices = _slices(answered, known, chosen, np.ones((1, len(test))))
        errors |= {
            f"{group}, {variant} ({one.rows})": float(one.mean[0])
            for found in slices["mean_error"].values()
            for group, one in found.items()
        }
        shares |= {f"{variant}, {name} foreseen": slices[f"{name}_recall"] for name in ("fail", "pass")}
    caption = "Above 0 the model expects too much of a group, below 0 too little. Held-out pupils, so many in brackets."
    drawn.append(usual.bars("Mean error by group", errors, "predicted less final grade, in points", caption))
    caption = "Of the held-out pupils who fail and of those who pass, the share that is expected to, and of how many."
    return [*drawn, fairness.table("Foreseen by group", shares, caption)]


def _fit(trial: Trial, train: Sequence[Masked], seed: int) -> Models:
    inputs, known = arrays(train), _Known.of(train)
    registration = inputs["registration"]
    both = np.hstack([registration, inputs["grades"]])
    early, late = known.moments["early"], known.moments["late"]
    kind = _linear if trial.candidate == "linear" else _trees
    late_kind = _trees if trial.candidate == "xgboost" else _linear
    return Models(
        early=kind(trial, seed)[0].fit(registration[early], known.grade[early]),
        late=late_kind(trial, seed)[0].fit(both[late], known.grade[late]),
        enrolment=kind(trial, seed)[1].fit(registration[early], known.enrolled[early].astype(np.int64)),
    )


def _trees(trial: Trial, seed: int) -> tuple[Any, Any]:
    from xgboost import XGBClassifier, XGBRegressor

    chosen = {name: trial.params[name] for name in TREES}
    # One thread: a thousand rows gain nothing from more, and the same sums come out on every machine.
    settings = {**chosen, "random_state": seed, "n_jobs": 1, "tree_method": "hist"}
    return XGBRegressor(**settings), XGBClassifier(**settings)


def _linear(trial: Trial, seed: int) -> tuple[Any, Any]:
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    alpha = trial.params["alpha"]
    classifier = LogisticRegression(C=1 / alpha, max_iter=2_000, random_state=seed)
    return make_pipeline(StandardScaler(), Ridge(alpha)), make_pipeline(StandardScaler(), classifier)


def _graph(model: Any, width: int) -> Any:
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType, Int64TensorType

    from bentos.common import xgboost_converter
    from bentos.common.graph_merging import OPSETS

    xgboost_converter.register()
    rows = FloatTensorType([None, width])
    if hasattr(model, "predict_proba"):
        answers = [("label", Int64TensorType([None])), ("probabilities", FloatTensorType([None, 2]))]
        options = {"zipmap": False}
    else:
        answers, options = [("value", FloatTensorType([None, 1]))], None
    return convert_sklearn(model, "model", [("rows", rows)], final_types=answers, options=options, target_opset=OPSETS)


@dataclass(frozen=True)
class _Known:
    """What is true of pupils, [rows] each."""

    grade: Floats
    enrolled: NDArray[np.bool_]
    course: NDArray[np.str_]
    second_grade: Floats
    moments: Mapping[str, NDArray[np.bool_]]
    groups: fairness.Groups
    pupil: NDArray[np.str_]

    @classmethod
    def of(cls, items: Sequence[Masked]) -> _Known:
        late = np.array([len(item.reports) == len(GRADES) for item in items])
        return cls(
            grade=np.array([item.final_grade for item in items], dtype=np.float64),
            enrolled=np.array([item.also_enrolled for item in items]),
            course=np.array([item.course for item in items]),
            second_grade=arrays(items)["grades"][:, 1].astype(np.float64),
            moments={"early": ~late, "late": late},
            groups=fairness.grouped(ATTRIBUTES, lambda name: [getattr(item.registration, name) for item in items]),
            pupil=np.array([split_key(item) for item in items]),
        )

    def drawn_together(self, seed: int) -> Floats:
        """Replicates [replicates, rows] in which a pupil's rows, which are not independent, are drawn together."""
        distinct, owner = np.unique(self.pupil, return_inverse=True)
        return evaluation.replicates(len(distinct), seed)[:, owner]


def _floats(answered: Arrays, name: str) -> Floats:
    return answered[name].astype(np.float64)


def _skills(answered: Arrays, known: _Known, weights: Floats, kind: str = "") -> dict[str, Floats]:
    """By question and replicate, how much more is known than the course's mean."""
    found = {}
    for variant, chosen in known.moments.items():
        estimate = _floats(answered, f"{kind}grade_{variant}")
        found[variant] = skill.of_estimates(known.grade, estimate, known.course, weights * chosen)
    here, probability = weights * known.moments["early"], _floats(answered, f"{kind}enrolment")
    found["enrolment"] = skill.of_probabilities(known.enrolled, probability, known.course, here)
    return found


def _accuracy(prefix: str, answered: Arrays, known: _Known, weights: Floats) -> dict[str, Figure]:
    found = {}
    for variant, chosen in known.moments.items():
        here, passed = weights * chosen, known.grade >= PASSING_GRADE
        own, base = (_floats(answered, f"{kind}grade_{variant}") for kind in ("", "baseline_"))
        error, base_error = (regression.rmse(known.grade - grade, here) for grade in (own, base))
        found[f"{prefix}{variant}_rmse"] = evaluation.figure(error, greater_is_better=False)
        found[f"{prefix}{variant}_rmse_gain_over_linear"] = evaluation.figure(base_error - error)
        expected = own >= LEAST_TO_PASS
        f1, f1_of_all = (classification.f1(said, passed, here) for said in (expected, np.ones_like(passed)))
        fail_f1 = classification.f1(~expected, ~passed, here)
        recalls = evaluation.recall(expected, passed, here), evaluation.recall(~expected, ~passed, here)
        found[f"{prefix}{variant}_pass_f1"] = evaluation.figure(f1)
        found[f"{prefix}{variant}_pass_f1_gain_over_all_pass"] = evaluation.figure(f1 - f1_of_all)
        found[f"{prefix}{variant}_fail_f1"] = evaluation.figure(fail_f1)
        found[f"{prefix}{variant}_fail_recall"] = evaluation.figure(recalls[1])
        found[f"{prefix}{variant}_balanced_accuracy"] = evaluation.figure(np.mean(recalls, axis=0))
        if variant == "late":
            as_before = classification.f1(known.second_grade < PASSING_GRADE, ~passed, here)
            unmoved = regression.rmse(known.grade - known.second_grade, here)
            found[f"{prefix}{variant}_rmse_gain_over_second_grade"] = evaluation.figure(unmoved - error)
            found[f"{prefix}{variant}_fail_f1_gain_over_second_grade"] = evaluation.figure(fail_f1 - as_before)
    here = weights * known.moments["early"]
    own, base = (_floats(answered, f"{kind}enrolment") for kind in ("", "baseline_"))
    auc, base_auc = (classification.roc_auc(probability, known.enrolled, here) for probability in (own, base))
    found[f"{prefix}enrolment_auc"] = evaluation.figure(auc)
    found[f"{prefix}enrolment_auc_gain_over_linear"] = evaluation.figure(auc - base_auc)
    return found


def _slices(answered: Arrays, known: _Known, chosen: NDArray[np.bool_], weights: Floats) -> dict[str, fairness.Slices]:
    """By group: the mean error of the grade in points; of those who pass, and of those who fail, the share that is
    expected to."""
    grade, passed = _floats(answered, "grade"), known.grade >= PASSING_GRADE
    expected = grade >= LEAST_TO_PASS
    return {
        "mean_error": fairness.by_group(known.groups, grade - known.grade, chosen, weights),
        "pass_recall": fairness.by_group(known.groups, expected, chosen & passed, weights),
        "fail_recall": fairness.by_group(known.groups, ~expected, chosen & ~passed, weights),
    }


def _fairness(answered: Arrays, known: _Known, weights: Floats) -> dict[str, Figure]:
    """The slices of each variant, and by how much the enrolment's probability exceeds the share that enrols; how many
    pupils of a group pass and how many fail; and the gaps between groups of one attribute."""
    found: dict[str, Figure] = {}
    for variant, chosen in known.moments.items():
        slices = _slices(answered, known, chosen, weights)
        for measure, sliced in slices.items():
            found |= fairness.figures(f"{variant}_{measure}", sliced, None if measure == "mean_error" else True)
        for count, measure in (("passed", "pass_recall"), ("failed", "fail_recall")):
            found |= fairness.counts(f"{variant}_{count}", slices[measure])
        found[f"fairness_{variant}_pass_recall_ratio"] = evaluation.figure(fairness.least_ratio(slices["pass_recall"]))
        gap = fairness.gap(slices["mean_error"])
        found[f"fairness_{variant}_mean_error_gap"] = evaluation.figure(gap, greater_is_better=False)
    surplus = _floats(answered, "enrolment") - known.enrolled
    surpluses = fairness.by_group(known.groups, surplus, known.moments["early"], weights)
    found |= fairness.figures("enrolment_mean_error", surpluses, None)
    apart = evaluation.figure(fairness.gap(surpluses), greater_is_better=False)
    return found | {"fairness_enrolment_mean_error_gap": apart}
