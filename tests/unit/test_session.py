"""OnnxModel: what it loads, what it refuses, and what it answers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from bakehouse import archives
from bakehouse.errors import DataError, ReleaseError
from bentos.common.session import OnnxModel


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    """A graph of two outputs: each row's sum, and the row doubled."""
    features = helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, 3])
    total = helper.make_tensor_value_info("total", TensorProto.FLOAT, [None])
    doubled = helper.make_tensor_value_info("doubled", TensorProto.FLOAT, [None, 3])
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
    nodes = [
        helper.make_node("ReduceSum", ["features", "axes"], ["total"], keepdims=0),
        helper.make_node("Add", ["features", "features"], ["doubled"]),
    ]
    path = tmp_path / "model.onnx"
    model = helper.make_model(
        helper.make_graph(nodes, "sums", [features], [total, doubled], [axes]),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    path.write_bytes(model.SerializeToString())
    onnx.checker.check_model(model)
    return path


def rows(count: int) -> np.ndarray:
    return np.arange(3 * count, dtype=np.float32).reshape(count, 3)


def test_every_output_comes_under_its_name(graph: Path) -> None:
    model = OnnxModel(graph)
    answer = model.run({"features": rows(2)})
    assert model.inputs == ("features",)
    assert model.outputs == ("total", "doubled")
    assert answer.keys() == {"total", "doubled"}
    np.testing.assert_array_equal(answer["total"], [3, 12])
    np.testing.assert_array_equal(answer["doubled"], rows(2) * 2)


def test_the_file_with_the_expected_digest_is_loaded(graph: Path) -> None:
    digest = archives.digest(graph)
    assert OnnxModel(graph, digest).digest == digest


def test_a_file_that_was_changed_after_its_release_is_refused(graph: Path) -> None:
    released = archives.digest(graph)
    graph.write_bytes(graph.read_bytes() + b"\x00")
    with pytest.raises(ReleaseError, match=released):
        OnnxModel(graph, released)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.onnx can't be read: No such file"):
        OnnxModel(tmp_path / "nowhere.onnx")


def test_a_file_that_is_no_graph_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"not a graph")
    with pytest.raises(DataError, match=r"model\.onnx is not an ONNX graph"):
        OnnxModel(path)


@pytest.mark.parametrize(
    "arrays",
    [
        pytest.param({"rows": rows(1)}, id="unknown input"),
        pytest.param({}, id="missing input"),
        pytest.param({"features": rows(1).astype(np.float64)}, id="another type"),
        pytest.param({"features": rows(1)[:, :2]}, id="another width"),
    ],
)
def test_arrays_that_the_graph_does_not_take_are_refused_with_what_it_takes(
    graph: Path, arrays: dict[str, np.ndarray]
) -> None:
    with pytest.raises(DataError, match="takes features"):
        OnnxModel(graph).run(arrays)


def test_one_session_answers_many_threads_alike(graph: Path) -> None:
    model = OnnxModel(graph)
    with ThreadPoolExecutor(8) as threads:
        totals = threads.map(lambda count: float(model.run({"features": rows(count)})["total"].sum()), range(1, 200))
        assert list(totals) == [float(rows(count).sum()) for count in range(1, 200)]
