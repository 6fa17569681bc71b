"""A pytest plugin for machines that have everything (`-p tests.skips`): a test that skips for any reason but those that
stand here fails the run, so that a program that is missing there is noticed."""

from __future__ import annotations

import pytest

ALLOWED = (
    "the test cluster (",  # equipment that stands beside the checkout on some build servers
    "tflint is not installed (make infra-test does)",  # minutes of compiling; the workflow `terraform` has it
)
"""How the reason begins."""


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run that would have passed."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or hasattr(session.config, "workerinput"):
        return
    refused = [reason for reason in map(_reason, reporter.stats.get("skipped", ())) if not reason.startswith(ALLOWED)]
    for reason in sorted(set(refused)):
        reporter.write_line(f"\nskipped {refused.count(reason)}, and tests/skips.py does not allow it: {reason}")
    if refused and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _reason(report: pytest.CollectReport | pytest.TestReport) -> str:
    said = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return said.removeprefix("Skipped: ")
