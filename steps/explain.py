"""Explain the candidate: which features move its answer, and one self-contained HTML report with the pictures."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from zenml import step

from bakehouse import workspace
from bentos.common import ndjson
from bentos.common.estimator import Picture
from bentos.common.room import Room, load_room
from bentos.common.session import OnnxModel
from steps import tracking
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
    mlflow_run: str,
    seed: int,
) -> tuple[Annotated[Path, "model_report"], Annotated[dict[str, float], "importance"]]:
    """The report as one HTML file, and the importance of each feature; the pictures also go to the MLflow run."""
    room = load_room(model)
    importance, pictures = look(room, onnx, test_set, seed)
    drawn = {picture.title: draw(picture) for picture in pictures}
    path = workspace.scratch("explain") / "model_report.html"
    path.write_text(report(room, leaderboard, parity, evaluation, pictures, drawn), encoding="utf-8")
    client = tracking.client()
    client.log_dict(mlflow_run, dict(importance), "importance.json")
    for title, png in drawn.items():
        picture = path.with_name(f"{title.lower().replace(' ', '_')}.png")
        picture.write_bytes(png)
        client.log_artifact(mlflow_run, str(picture), "pictures")
    return path, dict(importance)


def look(room: Room, onnx: Path, test_set: Path, seed: int) -> tuple[Mapping[str, float], tuple[Picture, ...]]:
    """Importance by feature, and every picture, that of the importance last."""
    items = ndjson.read(test_set, room.contract.Masked)
    importance = room.estimator.importance(OnnxModel(onnx).run, items, seed)
    bars = Picture(
        title="Importance of the features",
        kind="bar",
        x="mean change of the answer when the feature is shuffled",
        y="",
        series={"importance": (tuple(importance), tuple(importance.values()))},
        caption="Measured on the held-out records, on the ONNX graph that answers.",
    )
    return importance, (*room.estimator.pictures(predictor(room, onnx), items, seed), bars)


def draw(picture: Picture) -> bytes:
    """The picture as PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    if picture.kind == "bar":
        for legend, (names, lengths) in picture.series.items():
            axes.barh(names[::-1], lengths[::-1], label=legend)
    elif picture.kind == "histogram":
        samples = [values for values, _ in picture.series.values()]
        axes.hist(samples, bins=30, histtype="step", linewidth=1.5, label=list(picture.series))
    else:
        for legend, (x, y) in picture.series.items():
            axes.plot(x, y, label=legend)
    axes.set(title=picture.title, xlabel=picture.x, ylabel=picture.y)
    if len(picture.series) > 1:
        axes.legend()
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=110)
    return png.getvalue()


def report(
    room: Room,
    leaderboard: Leaderboard,
    parity: Parity,
    evaluation: Evaluation,
    pictures: tuple[Picture, ...],
    drawn: Mapping[str, bytes],
) -> str:
    """The HTML page. It loads nothing: pictures stand in it."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["shown"] = lambda value: value if isinstance(value, str) else f"{value:.4g}"
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        title=f"{room.problem.title}: model report",
        problem=room.problem,
        leaderboard=leaderboard,
        evaluation=evaluation,
        gates=(*parity.gates, *evaluation.gates),
        pictures=[
            {
                "title": picture.title,
                "caption": picture.caption,
                "png": base64.b64encode(drawn[picture.title]).decode(),
            }
            for picture in pictures
        ],
    )
