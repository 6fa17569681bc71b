"""What a reviewer reads of a promotion: figures beside the champion's, what changed, and no markup of others."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from bakehouse.gates import GateResult, at_least, holds
from gitops.code_history import Between, between
from gitops.environment import Place
from gitops.markdown import literal
from gitops.proposal import Proposal, body, summary
from gitops.release import Code, DataFile, Metric, Release
from tests.gitops_world import release


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        (Metric(value=0.9, low=0.85, high=0.95, champion=0.88), "(0.88, +0.02: within the interval)"),
        (Metric(value=0.9, low=0.89, high=0.95, champion=0.88), "(0.88, +0.02: better)"),
        (Metric(value=0.8, low=0.75, high=0.85, champion=0.88), "(0.88, -0.08: worse)"),
        (Metric(value=0.3, champion=0.2, greater_is_better=False), "(0.2, +0.1: worse)"),
        (Metric(value=0.1, low=0.09, high=0.11, champion=0.2, greater_is_better=None), "(0.2, -0.1)"),
        (Metric(value=0.1 + 0.2, champion=0.3), "(0.3, equal)"),
    ],
)
def test_a_figure_is_called_better_or_worse_only_where_its_interval_says_so(metric: Metric, said: str) -> None:
    document = release(2, champion=1)
    evidence = document.evidence.model_copy(update={"metrics": {"figure": metric}})
    assert said in summary(document.model_copy(update={"evidence": evidence}), None)


HOSTILE = (
    "| a | b |",
    "`code` ``more``",
    "\\| \\\\| \\",
    "<img src=x onerror=alert(1)><!--",
    "[click](https://evil.example) ![i](x)",
    "@bakehouse/release-approvers closes #12",
    "**bold** _it_ ~~gone~~ # head",
    "two\nlines\r\n| --- |\x1b[31m",
    "right\u202eto left\u200b",
    "&lt;b&gt; &#64;",
    "$`x`$",
)


def proposed(new: Release, old: Release | None, gates: Sequence[GateResult] = (), known: Between | None = None) -> str:
    places = Place("staging", new.model), Place("production", new.model)
    return body(Proposal(*places, new, old, gates, known, "It waits for review."))


def cells(text: str) -> list[list[str]]:
    """The table's rows as a forge splits them: at each bar that no backslash stands before."""
    rows = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]


def test_there_is_one_table_from_old_to_new_with_everything_that_is_bound() -> None:
    text = proposed(release(2, champion=1), release(1), [holds("no_hold", True, "no hold", "no hold", "hold.yaml")])
    rows = cells(text)
    assert all(len(row) == 4 for row in rows)
    assert [row[0] for row in rows] == [
        "",
        "---",
        "model version",
        "image",
        "model digest",
        "data version",
        "code",
        "run",
        "made",
        "metric `average_precision`",
        "gate `average_precision`",
        "gate `no_hold`",
    ]


def test_the_same_promotion_gives_the_same_text() -> None:
    new, old = release(2, champion=1), release(1)
    assert proposed(new, old) == proposed(Release.from_json(new.to_json()), Release.from_json(old.to_json()))


def test_of_the_data_it_says_how_many_rows_and_which_files_came_went_and_changed() -> None:
    old, new = release(1), release(2, champion=1)
    kept, gone = old.data.files[0], DataFile(path="old.ndjson", md5="0" * 32, size=1, documents=1)
    come = DataFile(path="new.ndjson", md5="1" * 32, size=1, documents=30)
    before = old.data.model_copy(update={"files": (kept, gone)})
    after = new.data.model_copy(update={"documents": 130, "accepted": 120, "files": (new.data.files[0], come)})
    text = proposed(new.model_copy(update={"data": after}), old.model_copy(update={"data": before}))
    assert (
        "| +30 documents, +22 accepted<br>1 file added: `new.ndjson`<br>1 file removed: `old.ndjson`"
        "<br>1 file changed: `batch.ndjson`"
        f"<br>more by `bakehouse data diff {before.version[:12]} {after.version[:12]}` |"
    ) in text


def test_of_the_code_it_lists_the_commits_between_where_the_history_is_at_hand(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        done = subprocess.run(["git", "-C", tmp_path, *arguments], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def commit(subject: str, path: str = "code.py") -> str:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(subject)
        git("add", "--all")
        git("-c", "user.name=Ada", "-c", "user.email=ada@example.org", "commit", "--quiet", "--message", subject)
        return git("rev-parse", "HEAD")

    git("init", "--quiet")
    first = commit("Start")
    commit("Release orders 1 to staging", "environments/staging/orders/release/release.json")
    middle = commit("Count \u202e `lines` | once")
    last = commit("Speed it up")
    found = between(tmp_path, first, last)
    assert found is not None
    assert (found.count, found.lacking) == (2, 0)
    new, old = (
        release(number).model_copy(update={"code": Code(commit=sha, dirty=False)})
        for number, sha in ((2, last), (1, first))
    )
    text = proposed(new, old, known=found)
    assert (
        f"2 commits<br>`{last[:10]}` `Speed it up`<br>`{middle[:10]}` <code>Count � &#96;lines&#96; &#124; once" in text
    )
    back = between(tmp_path, last, first)
    assert back is not None
    assert "0 commits, and without 2 that the old code has" in proposed(old, new, known=back)
    assert between(tmp_path, "f" * 40, last) is None
    assert "the commits between are not at hand here" in proposed(new, old)


def test_a_figure_measured_on_other_rows_is_not_compared() -> None:
    old, new = release(1), release(3, champion=2)
    text = proposed(new, old)
    row = next(row for row in cells(text) if row[0].startswith("metric"))
    assert row[1:] == [
        "0.9 (0.85 to 0.95), on other rows",
        "0.9 (0.85 to 0.95)",
        "not comparable; +0.02: within the interval against model version 2",
    ]


@pytest.mark.parametrize("text", HOSTILE)
def test_what_others_wrote_is_one_piece_of_code(text: str) -> None:
    shown = literal(text)
    assert re.fullmatch(r"`[^`|\\\n]+`|<code>[^<>`|\\*\[\]\n]+</code>", shown)
    assert not re.search("[\x00-\x1f\u200b\u202e]", shown)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_break_no_row(text: str) -> None:
    new, old = release(2, champion=1), release(1)
    gate = at_least(text, 1, 0, text, text)
    evidence = new.evidence.model_copy(
        update={
            "metrics": {text: new.evidence.metrics["average_precision"]},
            "gates": (gate,),
            "champion_note": text,
        }
    )
    file = new.data.files[0].model_copy(update={"path": text})
    hostile = new.model_copy(
        update={
            "evidence": evidence,
            "created_by": text,
            "data": new.data.model_copy(update={"files": (file,)}),
            "run": new.run.model_copy(update={"zenml": text}),
        }
    )
    known = Between((("a" * 40, text),), 1, 0)
    plain = proposed(new, old, [at_least("gate", 1, 0, "source", "why")], Between((("a" * 40, "subject"),), 1, 0))
    shown = proposed(hostile, old, [gate], known)
    assert [len(row) for row in cells(shown)] == [len(row) for row in cells(plain)]
    assert len(shown.splitlines()) == len(plain.splitlines())
    bare = re.sub(r"<code>[^<]*</code>|`[^`\n]*`", "", shown)
    assert "@" not in bare
    assert not re.search(r"#\d|evil|onerror|closes", bare)


def test_a_text_longer_than_a_forge_takes_ends_at_a_whole_line() -> None:
    document = release(2, champion=1)
    many = {f"metric_{number}": Metric(value=number) for number in range(3000)}
    evidence = document.evidence.model_copy(update={"metrics": many})
    text = proposed(document.model_copy(update={"evidence": evidence}), release(1))
    assert len(text) < 65_536
    assert text.endswith("|\n\n…\n")
