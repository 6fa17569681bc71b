"""What a person reads of a promotion: the pull request's text and the commit's few lines. Only writes text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from bakehouse.gates import GateResult
from gitops.environment import Place
from gitops.release import Metric, Release


def summary(release: Release, previous: Release | None) -> str:
    """The commit's body: what it replaces, and the figures that let it in."""
    replaced = (
        "It is the first release there."
        if previous is None
        else (f"It replaces model version {previous.model_version}.")
    )
    lines = [f"{name} {_figure(metric.value)}{_against(metric)}" for name, metric in release.evidence.metrics.items()]
    return "\n".join([replaced, "", *lines]).strip()


def body(source: Place, target: Place, release: Release, previous: Release | None, gates: Sequence[GateResult]) -> str:
    """The pull request's text, in Markdown."""
    undo = f"bakehouse rollback {release.model} --env {target.environment}"
    if previous is not None:
        undo += f" --to {previous.model_version}"
    parts = [
        f"# Promote {release.model} {release.model_version} from {source.environment} to {target.environment}",
        _table(("", "now", "after the merge"), _changes(release, previous)),
        "## Metrics on the held-out rows",
        _metrics_note(release),
        _table(("metric", "this version", "95 % interval", "its champion"), _metrics(release)),
        "## Gates",
        _table(("gate", "verdict", "figure", "must be", "set in"), _gates([*gates, *release.evidence.gates])),
        "## What happens on merge",
        (
            f"`{target.release}/` becomes, byte for byte, what {source.environment} has. Nothing else changes."
            " Delivery starts the new release beside the old one and switches when it answers well."
        ),
        "## How to undo it",
        (
            f"```sh\n{undo}\n```\nor `git revert` of the commit. The command leaves a hold as well, so that no"
            " automation brings this version back."
            if previous is not None
            else f"It is the first release there: `git revert` of the commit takes {release.model} out of"
            f" {target.environment} again."
        ),
    ]
    return "\n\n".join(parts) + "\n"


def changes(new: Release, old: Release | None) -> list[tuple[str, str, str]]:
    """What a release binds, old beside new: rows of what, old, new; only what differs."""
    return [(what, before, after) for what, before, after in _changes(new, old) if before != after]


def _changes(new: Release, old: Release | None) -> list[tuple[str, str, str]]:
    before, after = facts(old), facts(new)
    return [(what, before.get(what, "none"), said) for what, said in after.items()]


def facts(release: Release | None) -> dict[str, str]:
    """What a release binds, each part in words."""
    if release is None:
        return {}
    data = release.data
    period = f", {data.earliest:%Y-%m-%d} to {data.latest:%Y-%m-%d}" if data.earliest and data.latest else ""
    return {
        "model version": str(release.model_version),
        "image": release.image.reference,
        "model digest": release.model_digest,
        "data version": f"{data.version} ({data.documents:,} documents, {data.accepted:,} accepted{period})",
        "code": release.code.commit + (" with uncommitted changes" if release.code.dirty else ""),
        "run": f"{release.run.zenml} (MLflow {release.run.mlflow})",
        "made": f"{release.created_at:%Y-%m-%d %H:%M} by {release.created_by}",
    }


def _metrics_note(release: Release) -> str:
    evidence = release.evidence
    champion = f"Compared with model version {evidence.champion} on the same rows." if evidence.champion else ""
    note = evidence.champion_note or champion or "There is no champion to compare with."
    return f"{evidence.test_rows:,} rows (`{evidence.test_digest}`). {note}"


def _metrics(release: Release) -> Iterable[tuple[str, ...]]:
    for name, metric in release.evidence.metrics.items():
        known = metric.low is not None and metric.high is not None
        interval = f"{_figure(metric.low)} to {_figure(metric.high)}" if known else ""
        yield name, _figure(metric.value), interval, _against(metric).removeprefix(" (").removesuffix(")")


def _against(metric: Metric) -> str:
    if metric.champion is None:
        return ""
    if math.isclose(metric.value, metric.champion, abs_tol=1e-12):
        return f" ({_figure(metric.champion)}, equal)"
    difference = metric.value - metric.champion
    return f" ({_figure(metric.champion)}, {difference:+.4g}{_verdict(metric, metric.champion)})"


def _verdict(metric: Metric, champion: float) -> str:
    """Better or worse, where there is such a thing and the interval does not reach the champion's figure."""
    if metric.greater_is_better is None:
        return ""
    if metric.low is not None and metric.high is not None and metric.low <= champion <= metric.high:
        return ": within the interval"
    return ": better" if (metric.value > champion) == metric.greater_is_better else ": worse"


def _gates(gates: Iterable[GateResult]) -> Iterable[tuple[str, ...]]:
    for gate in gates:
        wanted = f"{'' if gate.comparison == 'is' else gate.comparison} {_figure(gate.threshold)}".strip()
        yield gate.name, "passed" if gate.passed else "**missed**", _figure(gate.figure), wanted, f"`{gate.source}`"


def _figure(value: float | str | None) -> str:
    return "" if value is None else value if isinstance(value, str) else f"{value:.6g}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
