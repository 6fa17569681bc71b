"""The flat ONNX forest answers as scikit-learn's IsolationForest does, on rows made to tell them apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.ensemble import IsolationForest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from bentos.common.forest_converter import register, to_onnx
from bentos.common.graph_merging import OPSETS

MOST_DIFFERENCE = 1e-6


@st.composite
def forests(draw: st.DrawFn) -> tuple[IsolationForest, NDArray[np.float32], np.random.Generator]:
    """Any fitted forest with the rows it learned from: few or many, rounded so that scores tie, or constant."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows, columns = draw(st.integers(2, 200)), draw(st.integers(1, 8))
    training = generator.normal(size=(rows, columns)) * 10 ** draw(st.integers(-3, 6))
    training = np.round(training, draw(st.sampled_from((0, 1, 6)))).astype(np.float32)
    forest = IsolationForest(
        n_estimators=draw(st.integers(1, 100)),
        max_samples=draw(st.integers(2, rows)),
        max_features=draw(st.floats(0.1, 1.0)),
        contamination=draw(st.sampled_from(("auto", 0.01, 0.095, 0.5))),
        bootstrap=draw(st.booleans()),
        random_state=draw(st.integers(0, 1000)),
    )
    return forest.fit(training), training, generator


def adversarial_rows(
    forest: IsolationForest, training: NDArray[np.float32], generator: np.random.Generator
) -> NDArray[np.float32]:
    """Rows at the thresholds and one float32 to either side, the training rows (whose scores set the offset, so that
    some tie with it), huge, negative, missing and infinite ones."""
    columns = training.shape[1]
    thresholds = np.concatenate([tree.tree_.threshold for tree in forest.estimators_]).astype(np.float32)
    at = generator.choice(thresholds, size=(300, columns))
    limits = np.array([0.0, -0.0, 1e30, -1e30, np.finfo(np.float32).max, np.inf, -np.inf, np.nan], dtype=np.float32)
    return np.concatenate(
        [
            training,
            at,
            np.nextafter(at, np.float32(np.inf)),
            np.nextafter(at, np.float32(-np.inf)),
            generator.choice(limits, size=(100, columns)),
            generator.normal(size=(100, columns)).astype(np.float32),
        ]
    )


def run(graph: bytes, rows: NDArray[np.float32]) -> tuple[NDArray[Any], NDArray[Any]]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    label, score = session.run(["label", "score"], {"features": rows})
    return np.asarray(label), np.asarray(score)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(forests())
def test_every_label_is_scikit_learns_and_scores_differ_by_rounding_alone(
    drawn: tuple[IsolationForest, NDArray[np.float32], np.random.Generator],
) -> None:
    forest, training, generator = drawn
    rows = adversarial_rows(forest, training, generator)
    label, score = run(to_onnx(forest), rows)
    assert label.dtype == np.int64
    assert score.dtype == np.float32
    assert label.shape == score.shape == (len(rows),)
    np.testing.assert_array_equal(label, forest.predict(rows))
    assert np.abs(score - forest.decision_function(rows)).max() <= MOST_DIFFERENCE
    assert not (score[label == 1] < 0).any()


def test_a_row_alone_is_judged_as_in_a_batch() -> None:
    generator = np.random.default_rng(1)
    training = generator.normal(size=(100, 4)).astype(np.float32)
    graph = to_onnx(IsolationForest(contamination=0.1, random_state=0).fit(training))
    label, score = run(graph, training)
    for row in range(len(training)):
        alone = run(graph, training[row : row + 1])
        assert alone[0] == label[row]
        assert alone[1] == score[row]


def test_no_rows_give_no_answers() -> None:
    training = np.random.default_rng(2).normal(size=(50, 3)).astype(np.float32)
    label, score = run(to_onnx(IsolationForest(random_state=0).fit(training)), np.empty((0, 3), dtype=np.float32))
    assert label.shape == score.shape == (0,)


def test_a_threshold_set_after_fitting_is_the_one_that_counts() -> None:
    training = np.random.default_rng(3).normal(size=(200, 3)).astype(np.float32)
    forest = IsolationForest(random_state=0).fit(training)
    forest.offset_ = np.percentile(forest.score_samples(training), 30)
    label, _ = run(to_onnx(forest), training)
    assert (label == -1).mean() == pytest.approx(0.3, abs=0.005)
    np.testing.assert_array_equal(label, forest.predict(training))


def test_the_whole_forest_is_one_node() -> None:
    training = np.random.default_rng(4).normal(size=(100, 3)).astype(np.float32)
    graph = onnx.load_model_from_string(to_onnx(IsolationForest(n_estimators=50, random_state=0).fit(training)))
    kinds = [node.op_type for node in graph.graph.node]
    assert kinds.count("TreeEnsembleRegressor") == 1
    assert len(kinds) < 20
    assert {entry.domain: entry.version for entry in graph.opset_import} == OPSETS


def test_a_forest_at_the_end_of_a_pipeline_is_converted_too() -> None:
    from skl2onnx import to_onnx as convert

    training = np.random.default_rng(5).normal(size=(100, 3)).astype(np.float32)
    pipeline = make_pipeline(FunctionTransformer(), IsolationForest(contamination=0.1, random_state=0)).fit(training)
    register()
    graph = convert(pipeline, training, target_opset=OPSETS).SerializeToString()
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    label = session.run(["label"], {"X": training})[0]
    np.testing.assert_array_equal(label, pipeline.predict(training))


def test_a_forest_whose_trees_saw_one_sample_each_is_refused() -> None:
    training = np.random.default_rng(6).normal(size=(20, 2)).astype(np.float32)
    with pytest.raises(ValueError, match="raise max_samples"):
        to_onnx(IsolationForest(max_samples=1, random_state=0).fit(training))
