"""A skl2onnx converter for scikit-learn's IsolationForest that writes the whole forest as one flat tree ensemble.

skl2onnx's own converter writes some 27 nodes a tree, which costs a millisecond a row and seconds to load. For training
only: what it writes needs nothing but onnxruntime.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper
from skl2onnx import update_registered_converter
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType
from sklearn.ensemble import IsolationForest

from bentos.common.graph_merging import OPSETS

_ALIAS = "BakehouseIsolationForest"


def register() -> None:
    """Make skl2onnx use this converter for every IsolationForest from now on, alone or in a pipeline.

    The graph's outputs are `label` int64 [n] (1 normal, -1 anomaly) and the decision function float32 [n].
    """
    # skl2onnx's parser asks every IsolationForest converter for this option; the raw scores are not offered here.
    options = {"score_samples": [False]}
    update_registered_converter(IsolationForest, _ALIAS, _calculate_shapes, _convert, options=options)


def to_onnx(forest: IsolationForest, input_name: str = "features") -> bytes:
    """The graph of a fitted forest: `input_name` float32 [n, features] in, `label` and `score` out (see `register`).

    The labels are scikit-learn's own, ties included: thresholds, leaf depths and their sum are 64-bit as in
    scikit-learn, in its order, and the sum is compared with the least one that scikit-learn calls normal. Any session
    with one thread keeps that order; with more, a row whose depth is within rounding of the threshold may differ.
    `score` is scikit-learn's decision function to float32's precision; it is never below 0 for a normal row.
    """
    from skl2onnx import convert_sklearn

    register()
    model = convert_sklearn(
        forest,
        name="isolation_forest",  # skl2onnx would make a random one up: the same forest must give the same bytes
        initial_types=[(input_name, FloatTensorType([None, forest.n_features_in_]))],
        final_types=[("label", Int64TensorType([None])), ("score", FloatTensorType([None]))],
        target_opset=OPSETS,
    )
    return bytes(model.SerializeToString())


def _calculate_shapes(operator: Any) -> None:
    rows = operator.inputs[0].get_first_dimension()
    operator.outputs[0].type = Int64TensorType([rows])
    operator.outputs[1].type = FloatTensorType([rows])


def _convert(scope: Any, operator: Any, container: Any) -> None:
    """Depth above the threshold = sum over trees of (leaf depth + c(samples in the leaf)) - threshold, by one ensemble;
    decision = -offset * (1 - 2^(-that / (trees * c(max_samples)))) (Liu, Ting and Zhou 2008, rearranged so that the
    sign survives the ensemble's float32 output)."""
    forest: IsolationForest = operator.raw_operator
    label, score = (output.full_name for output in operator.outputs)
    scale = _depth_scale(forest)

    def node(kind: str, inputs: list[str], output: str | None = None, **attributes: Any) -> str:
        name = output or scope.get_unique_variable_name(kind.lower())
        versions = {"domain": "ai.onnx.ml", "version": 3} if kind == "TreeEnsembleRegressor" else {"version": 13}
        container.add_node(
            kind,
            inputs,
            name,
            op_domain=versions.get("domain", ""),
            op_version=versions["version"],
            name=scope.get_unique_operator_name(kind),
            **attributes,
        )
        return name

    def constant(kind: int, value: float) -> str:
        name: str = scope.get_unique_variable_name("constant")
        container.add_initializer(name, kind, [1], [value])
        return name

    wide = node("Cast", [operator.inputs[0].full_name], to=TensorProto.DOUBLE)
    above = node("TreeEnsembleRegressor", [wide], **_ensemble(forest))
    flat = node("Reshape", [above, constant(TensorProto.INT64, -1)])
    anomaly = node("Less", [flat, constant(TensorProto.FLOAT, 0.0)])
    node("Where", [anomaly, constant(TensorProto.INT64, -1), constant(TensorProto.INT64, 1)], label)
    exact = node("Cast", [flat], to=TensorProto.DOUBLE)
    exponent = node("Mul", [exact, constant(TensorProto.DOUBLE, -1.0 / scale)])
    power = node("Pow", [constant(TensorProto.DOUBLE, 2.0), exponent])
    rest = node("Sub", [constant(TensorProto.DOUBLE, 1.0), power])
    decision = node("Mul", [rest, constant(TensorProto.DOUBLE, -float(forest.offset_))])
    node("Cast", [decision], score, to=TensorProto.FLOAT)


def _ensemble(forest: IsolationForest) -> dict[str, Any]:
    """The attributes of TreeEnsembleRegressor (ai.onnx.ml 3) for all trees, with 64-bit thresholds and weights."""
    columns: dict[str, list[NDArray[Any]]] = {}
    modes: list[str] = []
    for number, (tree, features) in enumerate(zip(forest.estimators_, forest.estimators_features_, strict=True)):
        nodes = tree.tree_
        is_leaf = nodes.children_left < 0
        leaves = np.flatnonzero(is_leaf)
        # scikit-learn adds these very numbers (sklearn/ensemble/_iforest.py, _parallel_compute_tree_depths); computed
        # another way they would differ in the last bit, and so would the label of a row at the threshold.
        depths = forest._decision_path_lengths[number] + forest._average_path_length_per_tree[number] - 1.0
        # Trees may see a subset of the features and count within it.
        seen = np.asarray(features)[np.where(is_leaf, 0, nodes.feature)]
        modes += ["LEAF" if leaf else "BRANCH_LEQ" for leaf in is_leaf]
        for name, values in {
            "nodes_treeids": np.full(nodes.node_count, number),
            "nodes_nodeids": np.arange(nodes.node_count),
            "nodes_featureids": np.where(is_leaf, 0, seen),
            "nodes_values": np.where(is_leaf, 0.0, nodes.threshold),
            "nodes_truenodeids": np.where(is_leaf, 0, nodes.children_left),
            "nodes_falsenodeids": np.where(is_leaf, 0, nodes.children_right),
            "nodes_missing_value_tracks_true": np.where(is_leaf, 0, nodes.missing_go_to_left),
            "target_treeids": np.full(len(leaves), number),
            "target_nodeids": leaves,
            "target_ids": np.zeros(len(leaves), dtype=np.int64),
            "target_weights": depths[leaves],
        }.items():
            columns.setdefault(name, []).append(values)
    joined = {name: np.concatenate(values) for name, values in columns.items()}
    wide = {
        "nodes_values": joined.pop("nodes_values"),
        "target_weights": joined.pop("target_weights"),
        "base_values": np.array([-_threshold(forest)]),
    }
    return {
        "n_targets": 1,
        "nodes_modes": modes,
        **{name: values.astype(np.int64).tolist() for name, values in joined.items()},
        **{
            f"{name}_as_tensor": numpy_helper.from_array(values.astype(np.float64), name)
            for name, values in wide.items()
        },
    }


def _depth_scale(forest: IsolationForest) -> float:
    """trees * c(max_samples): the summed depth at which the anomaly score is one half."""
    from sklearn.ensemble._iforest import _average_path_length

    scale = len(forest.estimators_) * float(_average_path_length([forest._max_samples])[0])
    if scale == 0.0:
        raise ValueError("An IsolationForest whose trees see one sample each isolates nothing: raise max_samples.")
    return scale


def _threshold(forest: IsolationForest) -> float:
    """The least summed depth that scikit-learn calls normal.

    Solving its formula for the depth is right to some units in the last place; among those neighbours the formula
    itself decides.
    """
    scale = _depth_scale(forest)
    depth = -np.log2(-forest.offset_) * scale
    near = [depth]
    for towards in (-np.inf, np.inf):
        step = depth
        for _ in range(64):
            step = np.nextafter(step, towards)
            near.append(step)
    depths = np.sort(np.array(near))
    decisions = -(2 ** -(depths / scale)) - forest.offset_
    return float(depths[decisions >= 0][0])
