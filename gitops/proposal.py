"""What a person reads of a promotion: the pull request's text and the commit's few lines. Only writes text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bakehouse.gates import GateResult
from gitops.code_history import Between
from gitops.environment import Place
from gitops.markdown import literal, table
from gitops.release import Data, Metric, Release

Row = tuple[str, str, str, str]
_FILES_SHOWN = 5
_LONGEST = 65_000  # a forge refuses a text of more than 65,536 characters


@dataclass(frozen=True)
class Proposal:
    """Everything that the text is about. `between` is None where the code's history is not at hand, `merges` says who
    merges it."""

    source: Place
    target: Place
    release: Release
    previous: Release | None
    gates: Sequence[GateResult]
    between: Between | None
    merges: str

    @property
    def undo(self) -> str:
        """The command that takes the promotion back; empty where there is nothing to go back to."""
        if self.previous is None:
            return ""
        return rollback_command(self.target, self.previous.model_version)


def rollback_command(place: Place, version: int) -> str:
    """What a person types to have a model version back."""
    return f"bakehouse rollback {place.model} --env {place.environment} --to {version}"


def subject(place: Place, version: int) -> str:
    """The commit's subject, and the pull request's title."""
    return f"Promote {place.model} {version} to {place.environment}"


def summary(release: Release, previous: Release | None) -> str:
    """The commit's body: what it replaces, and the figures that let it in."""
    replaced = (
        "It is the first release there."
        if previous is None
        else (f"It replaces model version {previous.model_version}.")
    )
    lines = [f"{name} {_figure(metric.value)}{_beside(metric)}" for name, metric in release.evidence.metrics.items()]
    return "\n".join([replaced, "", *lines]).strip()


def body(proposal: Proposal) -> str:
    """The pull request's text, in Markdown. The same promotion always gives the same text."""
    release, source, target = proposal.release, proposal.source, proposal.target
    rows = [*_bound(proposal), *_measured(proposal), *_judged(proposal)]
    becomes = (
        f"`{target.release}/` becomes, byte for byte, what {source.environment} has. Nothing else changes."
        " Delivery starts the new release beside the old one and switches when it answers well."
    )
    undo = (
        f"```sh\n{proposal.undo}\n```\nor `git revert` of the commit. The command leaves a hold as well, so that no"
        " automation brings this version back."
        if proposal.undo
        else f"It is the first release there: `git revert` of the commit takes {release.model} out of"
        f" {target.environment} again."
    )
    parts = [
        f"# {subject(target, release.model_version)}, from {source.environment}",
        table(("", f"now in {target.environment}", "after the merge", "what changes"), rows),
        _rows_note(release),
        "## What happens on merge",
        becomes,
        proposal.merges,
        "## How to undo it",
        undo,
    ]
    if any(gate.name == "not_rolled_back" and gate.explanation for gate in proposal.gates):
        parts.insert(
            1,
            f"**{target.environment} went back from this version or a newer one.** The check lets it in only with the"
            " label `allow-rolled-back`.",
        )
    text = "\n\n".join(part for part in parts if part) + "\n"
    return text if len(text) <= _LONGEST else text[:_LONGEST].rpartition("\n")[0] + "\n\n…\n"


def changes(new: Release, old: Release | None) -> list[tuple[str, str, str]]:
    """What a release binds, old beside new: rows of what, old, new; only what differs."""
    before, after = facts(old), facts(new)
    rows = [(what, before.get(what, "none"), said) for what, said in after.items()]
    return [row for row in rows if row[1] != row[2]]


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


def _bound(proposal: Proposal) -> Iterator[Row]:
    release, previous = proposal.release, proposal.previous
    before, after = facts(previous), facts(release)
    differences = {
        "data version": _data(release.data, previous.data if previous is not None else None),
        "code": _code(release, previous, proposal.between),
    }
    for what, said in after.items():
        unchanged = "" if before.get(what) != said else "the same"
        yield what, literal(before.get(what, "none")), literal(said), differences.get(what, "") or unchanged


def _data(new: Data, old: Data | None) -> str:
    if old is None or new == old:
        return ""
    if new.version == old.version:
        return "the same data, counted anew"
    said = [f"{new.documents - old.documents:+,} documents, {new.accepted - old.accepted:+,} accepted"]
    before, after = ({file.path: file.md5 for file in data.files} for data in (old, new))
    for word, names in (
        ("added", sorted(after.keys() - before.keys())),
        ("removed", sorted(before.keys() - after.keys())),
        ("changed", sorted(name for name in before.keys() & after.keys() if before[name] != after[name])),
    ):
        if names:
            more = f" and {len(names) - _FILES_SHOWN} more" if len(names) > _FILES_SHOWN else ""
            listed = ", ".join(literal(name) for name in names[:_FILES_SHOWN])
            said.append(f"{len(names)} file{'s' if len(names) > 1 else ''} {word}: {listed}{more}")
    said.append(f"more by `bakehouse data diff {old.version[:12]} {new.version[:12]}`")
    return "<br>".join(said)


def _code(release: Release, previous: Release | None, between: Between | None) -> str:
    if previous is None or release.code == previous.code:
        return ""
    if between is None:
        return "the commits between are not at hand here"
    said = [f"{between.count} commit{'' if between.count == 1 else 's'}"]
    if between.lacking:
        said[0] += f", and without {between.lacking} that the old code has"
    said += [f"{literal(name[:10])} {literal(title, longest=100)}" for name, title in between.commits]
    if between.count > len(between.commits):
        said.append(f"and {between.count - len(between.commits)} more")
    return "<br>".join(said)


def _measured(proposal: Proposal) -> Iterator[Row]:
    for name, *figures in measured(proposal.release, proposal.previous):
        yield f"metric {literal(name)}", figures[0], figures[1], figures[2]


def measured(release: Release, previous: Release | None) -> Iterator[Row]:
    """Each metric: name, old figure, new one, what changes. The old figure is the one on the same held-out rows
    wherever there is one."""
    evidence, old = release.evidence, previous.evidence if previous is not None else None
    for name, metric in evidence.metrics.items():
        after = _figure(metric.value) + _interval(metric)
        before, change = "", ""
        if previous is None or old is None:
            before = "none"
        elif evidence.champion == previous.model_version and metric.champion is not None:
            before, change = _figure(metric.champion), _difference(metric)
        elif name in old.metrics:
            figure = old.metrics[name]
            same_rows = old.test_digest == evidence.test_digest
            before = _figure(figure.value) + _interval(figure) + ("" if same_rows else ", on other rows")
            change = (
                _difference(metric.model_copy(update={"champion": figure.value})) if same_rows else "not comparable"
            )
        if metric.champion is not None and previous is not None and evidence.champion != previous.model_version:
            beside = f"{_difference(metric)} against model version {evidence.champion}"
            change = f"{change}; {beside}" if change else beside
        yield name, before, after, change


def _judged(proposal: Proposal) -> Iterator[Row]:
    previous = proposal.previous
    before = {gate.name: gate for gate in previous.evidence.gates} if previous is not None else {}
    for gate in [*proposal.release.evidence.gates, *proposal.gates]:
        old = before.get(gate.name)
        wanted = f"{'' if gate.comparison == 'is' else gate.comparison} {_figure(gate.threshold)}".strip()
        verdict = "passed" if gate.passed else "**missed**"
        said = f"{verdict}, must be {literal(wanted)} (set in {literal(gate.source)})"
        if gate.explanation:
            said += f"<br>{literal(gate.explanation)}"
        yield f"gate {literal(gate.name)}", _shown(old.figure) if old is not None else "", _shown(gate.figure), said


def _rows_note(release: Release) -> str:
    evidence = release.evidence
    champion = f"compared with model version {evidence.champion} on the same rows" if evidence.champion else ""
    note = literal(evidence.champion_note, longest=1000) or champion or "there is no champion to compare with"
    return (
        f"Measured on {evidence.test_rows:,} held-out rows (`{evidence.test_digest}`): {note}. Intervals are of 95 %."
    )


def _interval(metric: Metric) -> str:
    known = metric.low is not None and metric.high is not None
    return f" ({_figure(metric.low)} to {_figure(metric.high)})" if known else ""


def _beside(metric: Metric) -> str:
    return "" if metric.champion is None else f" ({_figure(metric.champion)}, {_difference(metric)})"


def _difference(metric: Metric) -> str:
    """How far from the champion's figure; better or worse, where there is such a thing and the interval does not reach
    that figure."""
    champion = metric.champion
    if champion is None:
        return ""
    if math.isclose(metric.value, champion, abs_tol=1e-12):
        return "equal"
    said = f"{metric.value - champion:+.4g}"
    if metric.greater_is_better is None:
        return said
    if metric.low is not None and metric.high is not None and metric.low <= champion <= metric.high:
        return f"{said}: within the interval"
    return f"{said}: better" if (metric.value > champion) == metric.greater_is_better else f"{said}: worse"


def _shown(figure: float | str) -> str:
    return literal(figure) if isinstance(figure, str) else _figure(figure)


def _figure(value: float | str | None) -> str:
    return "" if value is None else value if isinstance(value, str) else f"{value:.6g}"
