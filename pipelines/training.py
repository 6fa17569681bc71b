"""The training pipeline: from raw batches to a release in an environment, or to the list of missed gates."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pipelines.strict import strict
from steps.admit import admit
from steps.champion import champion
from steps.check import check
from steps.decide import decide
from steps.describe import describe
from steps.evaluate import evaluate
from steps.explain import explain
from steps.export import export
from steps.ingest import ingest
from steps.package import package
from steps.profile import profile
from steps.register import register
from steps.release import release
from steps.split import split
from steps.train import train


@strict
def training(
    model: str,
    batches: Annotated[list[str], Field(min_length=1)],
    trials: Annotated[int, Field(ge=1)],
    seed: int,
    release_to: str,
    seconds: Annotated[float, Field(gt=0)] | None = None,
) -> None:
    """Train `model` on `batches` (files or patterns, seen from the checkout), searching `trials` times or for as many
    `seconds`, and release it to the environment `release_to`."""
    data, data_version = ingest(model, batches)
    masked, _, acceptance = admit(model, data)
    expectations, expectations_result, expectations_report = check(model, masked)
    profile_report = profile(model, masked)
    train_set, dev_set, test_set = split(model, masked)
    fitted, mlflow_run, leaderboard = train(model, train_set, dev_set, data_version, trials, seed, seconds)
    onnx, parity = export(model, fitted, test_set)
    incumbent, champion_version, champion_onnx = champion(model, release_to)
    evaluation = evaluate(
        model, onnx, test_set, mlflow_run, seed, champion_version, champion_onnx, fitted, train_set, dev_set
    )
    model_card, card_gate = describe(model, data_version, leaderboard, parity, evaluation, mlflow_run)
    model_report, _ = explain(model, onnx, test_set, leaderboard, parity, evaluation, model_card, mlflow_run, seed)
    verdict = decide(
        model,
        mlflow_run,
        acceptance,
        expectations,
        incumbent,
        parity,
        evaluation,
        expectations_result,
        expectations_report,
        profile_report,
        model_report,
        model_card,
        card_gate,
    )
    model_version, code, code_commit = register(model, mlflow_run, data, fitted, onnx, model_card, verdict)
    bento = package(model, onnx, model_version, data_version, code_commit)
    release(model, release_to, mlflow_run, data, acceptance, leaderboard, evaluation, verdict, code, bento, masked)
