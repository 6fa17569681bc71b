"""The batch scoring pipeline: from files and an environment's released model to answers in partitioned Parquet."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pipelines.strict import strict
from steps.fetch import fetch
from steps.partition import partition
from steps.score import score


@strict
def batch_scoring(
    model: str,
    environment: str,
    files: Annotated[list[str], Field(min_length=1)],
    output: str,
    keep: list[str] = [],  # noqa: B006  ZenML reads the default, and nothing changes it
    ignore: list[str] = [],  # noqa: B006
    data_version: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")] | None = None,
    workers: Annotated[int, Field(ge=1)] | None = None,
    cluster: str | None = None,
    price_per_core_hour: Annotated[float, Field(ge=0)] | None = None,
) -> None:
    """Score `files` (Parquet, CSV or NDJSON; paths or patterns, seen from the checkout) with the model that
    `environment` has released, on so many threads (1 where nothing is said) or on the Dask `cluster` at an address."""
    onnx, model_version, model_digest = fetch(model, environment)
    plan = partition(files, data_version)
    score(model, onnx, model_version, model_digest, plan, output, keep, ignore, workers, cluster, price_per_core_hour)
