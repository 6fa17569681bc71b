"""Score the parts of a batch by Dask: on threads of this process, or on the cluster at an address."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import dask
from dask import threaded
from pydantic import BaseModel, ConfigDict
from zenml import step

from bakehouse import workspace
from bakehouse.errors import ConfigurationError, DataError
from bentos.common import scoring_parts
from bentos.common.scoring import Scorer
from bentos.common.scoring_files import Plan, columns
from bentos.common.scoring_parts import GRAPH, Job, Report

logger = logging.getLogger(__name__)


class Cost(BaseModel):
    """What scoring took. `seconds` are of the clock, for the rows that this run scored itself; `core_seconds_per_row`
    is seconds × workers / rows, and `price` is that at the price of a core for an hour."""

    model_config = ConfigDict(frozen=True)

    rows: int
    workers: int
    seconds: float
    price_per_core_hour: float | None = None

    @property
    def core_seconds_per_row(self) -> float:
        return self.seconds * self.workers / self.rows if self.rows else 0.0

    def describe(self) -> str:
        """One line for a person."""
        if not self.rows:
            return "nothing was left to score"
        said = (
            f"{self.rows:,} rows in {self.seconds:.1f} s on {self.workers} worker{'s' if self.workers > 1 else ''}:"
            f" {self.rows / self.seconds:,.0f} rows a second, {self.core_seconds_per_row * 1e6:.1f} core-µs a row"
        )
        if self.price_per_core_hour is not None:
            million = self.core_seconds_per_row / 3_600 * self.price_per_core_hour * 1e6
            said += f", {million:.4g} for a million rows at {self.price_per_core_hour:g} a core hour"
        return said


@step
def score(
    model: str,
    onnx: Path,
    model_version: int,
    model_digest: str,
    plan: Plan,
    output: str,
    keep: list[str],
    ignore: list[str],
    workers: int | None,
    cluster: str | None,
    price_per_core_hour: float | None,
) -> tuple[Annotated[str, "scored"], Annotated[Report, "report"], Annotated[Cost, "cost"]]:
    """Write `<output>/<model>-<model version>-<data version>/`, `output` being seen from the checkout, and hand on its
    name, not its content. What is there already is not scored again."""
    target, report, cost = score_plan(
        plan,
        onnx,
        workspace.root() / output,
        model,
        model_version,
        model_digest,
        keep=keep,
        ignore=ignore,
        workers=workers,
        cluster=cluster,
        price_per_core_hour=price_per_core_hour,
    )
    logger.info("%s: %d rows scored, %d refused", target, report.scored, report.refused)
    for field, words, count in report.reasons:
        logger.info("  refused %d rows for %s: %s", count, field, words)
    logger.info("%s", cost.describe())
    return str(target), report, cost


def score_plan(
    plan: Plan,
    onnx: Path,
    output: Path,
    model: str,
    model_version: int,
    model_digest: str,
    *,
    keep: Sequence[str] = (),
    ignore: Sequence[str] = (),
    workers: int | None = None,
    cluster: str | None = None,
    price_per_core_hour: float | None = None,
) -> tuple[Path, Report, Cost]:
    """Score what is not scored yet into `.<name>.partial` in `output`, and publish it as `<name>` when all is.

    Raises `ConfigurationError` where both `workers` and a `cluster` are named.
    """
    if workers is not None and cluster is not None:
        raise ConfigurationError("workers and cluster exclude each other.", "A cluster has its own workers: name one.")
    version = plan.data_version.removesuffix(".dir")
    target = output / f"{model}-{model_version}-{version}"
    job = Job(
        model=model,
        model_version=model_version,
        model_digest=model_digest,
        data_version=plan.data_version,
        folder=target.with_name(f".{target.name}.partial"),
        keep=tuple(keep),
        ignore=tuple(ignore),
    )
    with scoring_parts.owned(job, plan, target) as finished:
        if finished is not None:
            nothing = Cost(rows=0, workers=workers or 1, seconds=0, price_per_core_hour=price_per_core_hour)
            return target, finished, nothing
        shutil.copyfile(onnx, job.folder / GRAPH)
        reports = scoring_parts.done(job, plan)
        left = [part for part in plan.parts if part.number not in reports]
        _require_known_columns(plan, scoring_parts.scorer(job))
        started = time.perf_counter()
        with _scheduler(cluster, workers) as (options, count):
            tasks = [dask.delayed(scoring_parts.score_part, pure=False)(job, part) for part in left]
            for part, report in zip(left, dask.compute(*tasks, **options), strict=True):
                reports[part.number] = report
        seconds = time.perf_counter() - started
        ordered = [reports[part.number] for part in plan.parts]
        report = scoring_parts.publish(job, plan, ordered, target)
    cost = Cost(
        rows=sum(part.rows for part in left),
        workers=count,
        seconds=seconds,
        price_per_core_hour=price_per_core_hour,
    )
    return target, report, cost


def _require_known_columns(plan: Plan, scorer: Scorer) -> None:
    """Every row of a table with a column that the contract doesn't know would be refused: say so once, before."""
    known = set(scorer.request.model_fields)
    for file in plan.files:
        unknown = [name for name in columns(file.path) or () if name.partition(".")[0] not in known]
        if unknown:
            raise DataError(
                f"{file.path.name} has columns that the contract does not know: {', '.join(unknown)}.",
                "Name them under keep, to have them beside the answers, or under ignore.",
            )


@contextmanager
def _scheduler(cluster: str | None, workers: int | None) -> Iterator[tuple[dict[str, Any], int]]:
    """How Dask computes, and on how many workers."""
    if cluster is None:
        count = workers or 1
        # By its function, not by its name: to look up a name, Dask imports all that a cluster needs.
        yield {"scheduler": threaded.get, "num_workers": count}, count
        return
    from distributed import Client

    try:
        client = Client(cluster, timeout=30)
    except (OSError, TimeoutError, ValueError) as error:
        raise ConfigurationError(
            f"No Dask cluster answers at {cluster}: {error}.", "Start one, or leave `cluster` out to use threads."
        ) from error
    with client:
        yield {"scheduler": client}, sum(client.nthreads().values())
