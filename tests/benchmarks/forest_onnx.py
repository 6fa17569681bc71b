"""The ONNX graph of an Isolation Forest: this project's flat ensemble, skl2onnx's own graph and scikit-learn, in one
run on the same forest and rows. Measures milliseconds to load, microseconds a row at several batch sizes, and parity.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from skl2onnx import convert_sklearn, update_registered_converter
from skl2onnx.common.data_types import FloatTensorType
from skl2onnx.operator_converters.isolation_forest import convert_sklearn_isolation_forest
from skl2onnx.shape_calculators.isolation_forest import calculate_isolation_forest_output_shapes
from sklearn.ensemble import IsolationForest

from bentos.common.forest_converter import to_onnx
from bentos.common.graph_merging import OPSETS

TREES, FEATURES = 100, 12
LIMITS = {"microseconds_a_row": 30.0, "load_ms": 50.0, "score_difference": 1e-4}


def run(quick: bool) -> dict[str, Any]:
    """Figures by contender, and `met`: whether the flat graph stays within `LIMITS` with every label equal.

    `quick` measures fewer rows and repetitions.
    """
    generator = np.random.default_rng(0)
    training = generator.normal(size=(800, FEATURES)).astype(np.float32)
    forest = IsolationForest(n_estimators=TREES, contamination=0.095, random_state=0).fit(training)
    thresholds = np.concatenate([tree.tree_.threshold for tree in forest.estimators_]).astype(np.float32)
    rows = np.concatenate(
        [
            generator.normal(size=(10_000, FEATURES)),
            generator.choice(thresholds, size=(10_000, FEATURES)),
            generator.normal(size=(512, FEATURES)) * 1e9,
            training,
        ]
    ).astype(np.float32)[: 2_000 if quick else None]
    repetitions = 3 if quick else 7
    graphs = {"flat": to_onnx(forest), "skl2onnx": _skl2onnx_own(forest)}
    sessions = {name: _session(graph) for name, graph in graphs.items()}
    contenders: dict[str, Callable[[NDArray[np.float32]], Any]] = {
        "flat": lambda batch: sessions["flat"].run(["label", "score"], {"features": batch}),
        "skl2onnx": lambda batch: sessions["skl2onnx"].run(["label", "scores"], {"features": batch}),
        "scikit-learn": lambda batch: (forest.predict(batch), forest.decision_function(batch)),
    }
    expected_labels, expected_scores = forest.predict(rows), forest.decision_function(rows)
    figures: dict[str, Any] = {}
    for name, answer in contenders.items():
        labels, scores = answer(rows)
        figures[name] = {
            "label_disagreements": int((np.ravel(labels) != expected_labels).sum()),
            "score_difference": float(np.abs(np.ravel(scores) - expected_scores).max()),
            "microseconds_a_row": {
                str(size): _microseconds_a_row(answer, rows, size, repetitions) for size in (1, 32, 1_000)
            },
        }
    for name, graph in graphs.items():
        figures[name]["load_ms"] = _load_ms(graph, repetitions if name == "flat" else 1)
        figures[name]["bytes"] = len(graph)
    flat = figures["flat"]
    met = (
        flat["microseconds_a_row"]["1"] < LIMITS["microseconds_a_row"]
        and flat["load_ms"] < LIMITS["load_ms"]
        and flat["score_difference"] <= LIMITS["score_difference"]
        and flat["label_disagreements"] == 0
    )
    return {"trees": TREES, "features": FEATURES, "rows": len(rows), "limits": LIMITS, **figures, "met": met}


def _skl2onnx_own(forest: IsolationForest) -> bytes:
    """What skl2onnx writes by itself; its converter is put back for this one conversion."""
    update_registered_converter(
        IsolationForest,
        "SklearnIsolationForest",
        calculate_isolation_forest_output_shapes,
        convert_sklearn_isolation_forest,
        options={"score_samples": [True, False]},
    )
    initial_types = [("features", FloatTensorType([None, FEATURES]))]
    model = convert_sklearn(forest, initial_types=initial_types, target_opset=OPSETS)
    return bytes(model.SerializeToString())


def _session(graph: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _load_ms(graph: bytes, repetitions: int) -> float:
    spent = []
    for _ in range(repetitions):
        started = time.perf_counter()
        _session(graph)
        spent.append((time.perf_counter() - started) * 1e3)
    return median(spent)


def _microseconds_a_row(
    answer: Callable[[NDArray[np.float32]], object], rows: NDArray[np.float32], size: int, repetitions: int
) -> float:
    """The median over repetitions of about 50 ms each, after one unmeasured call."""
    batch = rows[:size]
    started = time.perf_counter()
    answer(batch)
    answer(batch)
    calls = max(1, int(0.05 / ((time.perf_counter() - started) / 2)))
    spent = []
    for _ in range(repetitions):
        started = time.perf_counter()
        for _ in range(calls):
            answer(batch)
        spent.append((time.perf_counter() - started) / calls / size * 1e6)
    return median(spent)
