"""`bakehouse governance`: check, report, rules. Only translates between a shell and the rest of the package, which is
imported when a command runs: `bakehouse` names these commands on every start."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bakehouse.errors import BakehouseError, ConfigurationError

if TYPE_CHECKING:
    from terraform.policies.evidence import Check

app = typer.Typer(no_args_is_help=True, help="Judge the Terraform by its rules, and show who can reach what.")

Evidence = Annotated[
    Path | None,
    typer.Option(
        "--evidence",
        help="Folder with <environment>/<root>.plan.json and .state.json as `terraform show -json` prints them. "
        "Default: governance in the state folder, where `make infra-test` leaves them.",
    ),
]

Environments = Annotated[
    list[str] | None,
    typer.Option(
        "--environment",
        help="Environment that must have evidence, again for another; `none` to judge the sources alone. Default: all.",
    ),
]


@app.command(name="check")
def check_command(
    evidence: Evidence = None,
    environment: Environments = None,
    before_apply: Annotated[
        bool,
        typer.Option(
            "--before-apply",
            help="Fail on what is broken, and leave what is not known or not planned yet to the check afterwards.",
        ),
    ] = False,
) -> None:
    """Judge sources, plans and states; list every failure, and end with 1 where there is one."""
    found = _check(evidence, environment)
    if before_apply:
        found = found.broken_alone()
    for failure in found.outcome.failures:
        judgement = failure.judgement
        typer.echo(
            f"{failure.rule} {failure.environment} {judgement.subject}: {judgement.verdict.value}, {judgement.message}"
        )
    for fault in found.outcome.faults:
        typer.echo(fault)
    typer.echo(_verdict(found))
    raise typer.Exit(0 if found.outcome.passed else 1)


@app.command()
def report(
    evidence: Evidence = None,
    environment: Environments = None,
    to: Annotated[
        Path | None, typer.Option("--to", help="The page. Default: governance.html in the state folder.")
    ] = None,
) -> None:
    """Write one HTML page: rules and results, waivers, resources, costs, and who can reach which model's data."""
    from bakehouse import workspace
    from terraform.policies.report import render

    found = _check(evidence, environment)
    page = to or workspace.state() / "governance.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(render(found, datetime.now(UTC).replace(microsecond=0)))
    typer.echo(f"{page}: {_verdict(found)}")


@app.command()
def rules() -> None:
    """List every rule with what it serves and where its thresholds are set."""
    from terraform.policies.catalogue import catalogue

    for entry in catalogue().values():
        typer.echo(
            f"{entry.id}  {entry.title}\n    {entry.why}\n    {'; '.join(entry.controls)}; set in {entry.source}"
        )


def main() -> None:
    """Run as `python -m terraform.policies`: one line instead of a traceback for what the user can act on."""
    try:
        app()
    except BakehouseError as error:
        print(error, file=sys.stderr)  # noqa: T201
        sys.exit(1)


def _check(evidence: Path | None, wanted: list[str] | None) -> Check:
    from bakehouse import workspace
    from terraform.policies.evidence import check, read_evidence
    from terraform.policies.settings import environments

    folder = evidence or workspace.state() / "governance"
    names = environments() if wanted is None else set(wanted) - {"none"}
    unknown = sorted(names - environments())
    if unknown:
        raise ConfigurationError(
            f"There is no environment {unknown[0]}.", f"There are: {', '.join(sorted(environments()))}."
        )
    found = {name: item for name, item in read_evidence(folder).items() if name in names}
    return check(found, names, datetime.now(UTC).date())


def _verdict(found: Check) -> str:
    where = ", ".join(list(found.results))
    count = len(found.outcome.failures) + len(found.outcome.faults)
    borne = f", {len(found.outcome.borne)} borne by waivers" if found.outcome.borne else ""
    return f"{count} {'failure' if count == 1 else 'failures'} in {where}{borne}"
