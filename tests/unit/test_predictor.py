"""What a service refuses after its contract has taken a request: which document of how many, and how much is said."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

import numpy as np
import pytest
from pydantic import BaseModel

from bentos.common.predictor import MOST_PROBLEMS, Arrays, Pipeline, Predictor, RefusedError


class Asked(BaseModel):
    """A number, which is looked up where it is negative."""

    x: float


class Sums(Predictor[Asked, Asked]):
    """Knows nobody by a negative number."""

    request = Asked
    response = Asked
    example: ClassVar[Mapping[str, Any]] = {"x": 1}

    def arrays(self, requests: Sequence[Asked]) -> Arrays:
        unknown = [place for place, request in enumerate(requests) if request.x < 0]
        if unknown:
            raise RefusedError(404, [{"field": f"{place}.x", "reason": "Unknown"} for place in unknown])
        if requests[0].x == 503:
            raise RefusedError(503, [{"field": "(feature store)", "reason": "Away"}])
        return {"x": np.array([[request.x * 1e300] for request in requests])}

    def responses(self, requests: Sequence[Asked], outputs: Arrays, model_version: int) -> Sequence[Asked]:
        raise AssertionError("nothing is answered here")


def refused(document: Any) -> RefusedError:
    with pytest.raises(RefusedError) as error:
        Pipeline(Sums(), cast("Any", None), 1).predict(json.dumps(document).encode())
    return error.value


@pytest.mark.parametrize(
    ("document", "status", "fields"),
    [
        ({"x": -1}, 404, ["x"]),
        ([{"x": -1}], 404, ["0.x"]),
        ([{"x": -1}, {"x": 1}, {"x": -1}], 404, ["0.x", "2.x"]),
        ({"x": 1e300}, 422, ["(document)"]),
        ([{"x": 1e300}], 422, ["0"]),
        ({"x": 503}, 503, ["(feature store)"]),
        ([{"x": 503}], 503, ["(feature store)"]),
    ],
)  # fmt: skip
def test_a_list_is_told_the_place_also_where_it_holds_one_document(
    document: Any, status: int, fields: list[str]
) -> None:
    error = refused(document)
    assert (error.status, [problem["field"] for problem in error.problems]) == (status, fields)


def test_so_many_unknown_ids_are_named_and_the_others_counted() -> None:
    error = refused([{"x": -1}] * (MOST_PROBLEMS + 5))
    assert (len(error.problems), error.more) == (MOST_PROBLEMS, 5)
