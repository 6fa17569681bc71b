"""Register: the candidate becomes a numbered model version, whose number git knows no other model by."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Annotated

from zenml import get_step_context, step

from bakehouse import archives, workspace
from bentos.common.room import load_room
from gitops.release import Code
from gitops.repository import GitopsRepository
from steps import registry, tracking
from steps.code_version import code_version
from steps.data_versions import DataVersion
from steps.decide import Verdict

logger = logging.getLogger(__name__)


@step
def register(
    model: str, mlflow_run: str, data: DataVersion, fitted: Path, onnx: Path, model_card: Path, verdict: Verdict
) -> tuple[Annotated[int, "model_version"], Annotated[Code, "code"], Annotated[str, "code_commit"]]:
    """The graph in MLflow's registry, with signature and example; the estimator it came from beside it in the run.

    Takes the verdict, which exists only where every gate passed.
    """
    room = load_room(model)
    restored = registry.restore(GitopsRepository.open(), model)
    if restored:
        logger.warning("the registry had lost %s %s: restored from git", model, ", ".join(map(str, restored)))
    code = code_version(workspace.root())
    run = str(get_step_context().pipeline_run.id)
    tags = registry.lineage(data.version, code, run, archives.digest(onnx))
    example = room.features.arrays([room.contract.Request.model_validate_json(json.dumps(room.contract.EXAMPLE))])
    client = tracking.client()
    kept = shutil.copyfile(fitted, workspace.scratch("register") / "fitted.joblib")
    client.log_artifact(mlflow_run, str(kept), "estimator")
    for name, value in tags.items():
        client.set_tag(mlflow_run, name, value)
    card = model_card.read_text(encoding="utf-8")
    return registry.add(model, mlflow_run, onnx, example, tags, card), code, code.commit
