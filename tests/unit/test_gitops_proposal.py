"""What a reviewer reads of a figure beside the champion's."""

from __future__ import annotations

import pytest

from gitops.proposal import summary
from gitops.release import Metric
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
