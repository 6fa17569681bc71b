"""`make bench`: runs every module beside this one that has `run(quick)`, prints its figures and writes them as JSON.

A figure that misses what the design promises is shown, and is no failure: a busy machine misses too. A benchmark that
breaks is one.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bakehouse import workspace
from tests.benchmarks import machine
from tests.benchmarks.isolation import measure

HERE = Path(__file__).parent
NAMES = sorted(path.stem for path in HERE.glob("[a-z]*.py") if "\ndef run(quick: bool)" in path.read_text())


def main() -> int:
    """Run the benchmarks named on the command line, or all. Returns 1 where one broke."""
    parser = argparse.ArgumentParser(prog="make bench", description="Measure what the design promises.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of: {', '.join(NAMES)}; none named means all")
    parser.add_argument("--quick", action="store_true", help="fewer rows, requests and repetitions")
    options = parser.parse_args()
    unknown = sorted(set(options.names) - set(NAMES))
    if unknown:
        parser.error(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(NAMES)}")
    console = Console()
    report: dict[str, Any] = {
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "quick": options.quick,
        "machine": machine.describe(workspace.root()),
        "benchmarks": {},
    }
    console.print_json(data=report["machine"])
    for name in options.names or NAMES:
        console.rule(name)
        report["benchmarks"][name] = outcome = measure(name, options.quick)
        show(console, outcome)
    console.rule()
    folder = workspace.state() / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{report['started_at'].replace(':', '').removesuffix('+0000')}.json"
    path.write_text(json.dumps(report, indent=2) + "\n")
    console.print(f"written to {path}", soft_wrap=True)
    return int(any("error" in outcome for outcome in report["benchmarks"].values()))


def show(console: Console, outcome: dict[str, Any]) -> None:
    """Figures that stand alone as a line each; those of several contenders side by side."""
    if "error" in outcome:
        console.print(outcome["error"], style="red", markup=False)
        return
    figures = outcome["figures"]
    contenders = {name: _flat(value) for name, value in figures.items() if isinstance(value, dict)}
    for name, value in figures.items():
        if name not in contenders:
            console.print(f"{name}: {_text(value)}", markup=False)
    columns = list(dict.fromkeys(key for values in contenders.values() for key in values))
    if columns:
        table = Table("", *contenders)
        for column in columns:
            table.add_row(column, *(_text(values.get(column, "")) for values in contenders.values()))
        console.print(table)
    console.print(f"took {outcome['seconds']} s")


def _flat(figures: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat = {}
    for name, value in figures.items():
        if isinstance(value, dict):
            flat.update(_flat(value, f"{prefix}{name} · "))
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:.4g}" if abs(value) < 1_000 and isinstance(value, float) else f"{value:,.0f}"


if __name__ == "__main__":
    sys.exit(main())
