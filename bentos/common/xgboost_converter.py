"""XGBoost's scikit-learn estimators as ONNX: onnxmltools' converter under skl2onnx's roof, so that a pipeline of both
converts too. For training only: what it writes needs nothing but onnxruntime.
"""

from __future__ import annotations

from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost
from skl2onnx import update_registered_converter
from skl2onnx.common.shape_calculator import (
    calculate_linear_classifier_output_shapes,
    calculate_linear_regressor_output_shapes,
)
from xgboost import XGBClassifier, XGBRegressor


def register() -> None:
    """Make skl2onnx convert XGBoost's classifiers and regressors from now on, alone or at a pipeline's end."""
    update_registered_converter(
        XGBRegressor, "BakehouseXGBRegressor", calculate_linear_regressor_output_shapes, convert_xgboost
    )
    update_registered_converter(
        XGBClassifier,
        "BakehouseXGBClassifier",
        calculate_linear_classifier_output_shapes,
        convert_xgboost,
        options={"nocl": [True, False], "zipmap": [True, False, "columns"]},
    )
