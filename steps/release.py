"""Release: bind image, model version, data, code and evidence in one commit to an environment."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

from zenml import get_step_context, step

from bentos.common.room import load_room
from gitops import evidence_store, promotion, stores
from gitops.release import Choice, Code, Data, Evidence, Image, Metric, Release, Run, RunnerUp, now
from gitops.repository import GitopsRepository
from steps import tracking
from steps.admit import Acceptance
from steps.data_versions import DataVersion
from steps.decide import Verdict
from steps.evaluate import Evaluation
from steps.feature_history import publish
from steps.mirror import mirror
from steps.package import Package
from steps.train import Leaderboard

logger = logging.getLogger(__name__)


@step
def release(
    model: str,
    environment: str,
    mlflow_run: str,
    data: DataVersion,
    acceptance: Acceptance,
    leaderboard: Leaderboard,
    evaluation: Evaluation,
    verdict: Verdict,
    code: Code,
    package: Package,
    masked: Path,
) -> Annotated[str, "commit"]:
    """Commit the release to `environment`, finish the MLflow run that `train` opened, mirror the registry's aliases,
    and return the commit. What the service looks up by id changes here too, to the features of `masked`: a run that is
    refused has changed no answer."""
    room, repository = load_room(model), GitopsRepository.open()
    run = Run(zenml=str(get_step_context().pipeline_run.id), mlflow=mlflow_run)
    document = Release(
        model=model,
        model_version=package.model_version,
        image=Image(name=package.image, tag=str(package.model_version), digest=package.digest),
        model_digest=package.model_digest,
        data=bound_data(data, acceptance),
        code=code,
        run=run,
        evidence=evidence(leaderboard, evaluation, verdict, package),
        promotion_policy=room.problem.promotion,
        created_at=now(),
        created_by=repository.identity(),
    )
    evidence_store.send(model, named(document.evidence))
    bundle = stores.report(package.signature).read_bytes()
    commit = promotion.commit_release(repository, environment, document, bundle)
    _follow(repository, mlflow_run)
    publish(room, masked)
    return commit


def bound_data(data: DataVersion, acceptance: Acceptance) -> Data:
    """What the release says of its data: the version as it was kept, and what the gatekeeper let through."""
    return Data(
        version=data.version,
        files=data.files,
        documents=acceptance.report.documents,
        accepted=acceptance.report.accepted,
        earliest=acceptance.report.earliest,
        latest=acceptance.report.latest,
    )


def choice(leaderboard: Leaderboard) -> Choice:
    """How the candidate was chosen."""
    best, runner_up = leaderboard.standings[0], leaderboard.runner_up
    return Choice(
        candidate=best.candidate,
        params=best.params,
        metric=leaderboard.metric,
        score=best.score,
        trials=len(leaderboard.standings),
        given_up=sum(standing.given_up for standing in leaderboard.standings),
        runner_up=RunnerUp(**runner_up.model_dump()) if runner_up is not None else None,
    )


def evidence(leaderboard: Leaderboard, evaluation: Evaluation, verdict: Verdict, package: Package) -> Evidence:
    """Why the candidate was let in."""
    return Evidence(
        champion=evaluation.champion,
        champion_note=evaluation.champion_note,
        test_rows=evaluation.test_rows,
        test_digest=evaluation.test_digest,
        metrics={name: Metric(**metric.model_dump()) for name, metric in evaluation.metrics.items()},
        gates=verdict.gates,
        choice=choice(leaderboard),
        reports=verdict.reports,
        sbom=package.sbom,
        signature=package.signature,
    )


def named(evidence: Evidence) -> tuple[str, ...]:
    """The digests of everything that the evidence names."""
    return tuple(filter(None, (*evidence.reports.values(), evidence.sbom, evidence.signature)))


def _follow(repository: GitopsRepository, mlflow_run: str) -> None:
    """The release stands once git has it, whatever MLflow says: the run's status and the aliases can follow later."""
    try:
        tracking.client().set_terminated(mlflow_run)
        mirror(repository)
    except Exception as error:  # MLflow's stores raise what their drivers do
        logger.warning("the registry's aliases are behind (%s): `python -m steps.mirror` mirrors them", error)
