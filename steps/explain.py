"""Explain the candidate: which features move its answer, and one self-contained HTML report with the pictures."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from zenml import step

from bakehouse import workspace
from bentos.common import ndjson, pictures
from bentos.common.estimator import Picture
from bentos.common.room import Room, load_room
from bentos.common.session import OnnxModel
from steps import tracking
from steps.describe import chosen, shown
from steps.drawing import draw
from steps.evaluate import Evaluation, predictor
from steps.export import Parity
from steps.train import Leaderboard

TEMPLATE = Path(__file__).with_name("model_report.html.jinja")


@step
def explain(
    model: str,
    onnx: Path,
    test_set: Path,
    leaderboard: Leaderboard,
    parity: Parity,
    evaluation: Evaluation,
    model_card: Path,
    mlflow_run: str,
    seed: int,
) -> tuple[Annotated[Path, "model_report"], Annotated[dict[str, float], "importance"]]:
    """The report as one HTML file, and the importance of each feature; the pictures also go to the MLflow run."""
    room = load_room(model)
    importance, seen = look(room, onnx, test_set, seed)
    drawn = {picture.title: draw(picture) for picture in seen if picture.kind != "table"}
    path = workspace.scratch("explain") / "model_report.html"
    card = model_card.read_text(encoding="utf-8")
    path.write_text(report(room, leaderboard, parity, evaluation, card, seen, drawn), encoding="utf-8")
    client = tracking.client()
    client.log_dict(mlflow_run, dict(importance), "importance.json")
    for picture in seen:
        name = picture.title.lower().replace(" ", "_")
        if picture.kind == "table":
            rows = {legend: dict(zip(columns, values, strict=True)) for legend, (columns, values) in _rows(picture)}
            client.log_dict(mlflow_run, rows, f"tables/{name}.json")
        else:
            png = path.with_name(f"{name}.png")
            png.write_bytes(drawn[picture.title])
            client.log_artifact(mlflow_run, str(png), "pictures")
    return path, dict(importance)


def look(room: Room, onnx: Path, test_set: Path, seed: int) -> tuple[Mapping[str, float], tuple[Picture, ...]]:
    """Importance by feature, and every picture, that of the importance last."""
    items = ndjson.read(test_set, room.contract.Masked)
    importance = room.estimator.importance(OnnxModel(onnx).run, items, seed)
    bars = pictures.bars(
        "Importance of the features",
        importance,
        "mean change of the answer without the feature",
        "Measured on the held-out records, on the ONNX graph that answers; the features that move it most.",
    )
    return importance, (*room.estimator.pictures(predictor(room, onnx), items, seed), bars)


def report(
    room: Room,
    leaderboard: Leaderboard,
    parity: Parity,
    evaluation: Evaluation,
    card: str,
    seen: tuple[Picture, ...],
    drawn: Mapping[str, bytes],
) -> str:
    """The HTML page. It loads nothing: pictures stand in it. `card` is Markdown, whose own HTML is shown as text."""
    from jinja2 import Environment, StrictUndefined
    from markdown_it import MarkdownIt

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["shown"] = shown
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        title=f"{room.problem.title}: model report",
        problem=room.problem,
        leaderboard=leaderboard,
        chosen=chosen(leaderboard),
        evaluation=evaluation,
        gates=(*parity.gates, *evaluation.gates),
        card=markdown.render(card),
        pictures=[
            {
                "title": picture.title,
                "caption": picture.caption,
                "png": base64.b64encode(drawn[picture.title]).decode() if picture.title in drawn else "",
                "rows": _rows(picture) if picture.kind == "table" else (),
            }
            for picture in seen
        ],
    )


def _rows(picture: Picture) -> list[tuple[str, tuple[Sequence[str], Sequence[float]]]]:
    return list(picture.series.items())
