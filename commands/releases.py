"""`bakehouse release`: release documents, shown and verified."""

from __future__ import annotations

from typing import Annotated

import typer

from bakehouse.errors import BakehouseError, GateError
from commands.options import AnyEnvironment, AnyModel, Environment, Json, Model, repository
from gitops import display

app = typer.Typer(help="Show and verify release documents.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def show(
    model: Model,
    environment: Environment,
    at: Annotated[
        str | None,
        typer.Option("--at", help="A model version, a revision or a time.", metavar="REVISION", show_default=False),
    ] = None,
) -> None:
    """Print a release document as it stands in git."""
    from gitops.environment import Place, require_environment
    from gitops.history import timeline
    from gitops.moments import moment

    asked = repository()
    require_environment(asked.at(), environment)
    known = timeline(asked, Place(environment, model))
    if at is None:
        entry = known.current
    elif (then := moment(at)) is not None:
        entry = known.at(then)
    else:
        entry = known.find(at)
    if entry is None or entry.text is None:
        when = "" if at is None else f" at {at}"
        raise BakehouseError(
            f"{environment} has no release of {model}{when}.",
            "`bakehouse status` shows what is where, `bakehouse history` what was.",
        )
    display.say(entry.text.rstrip("\n"))


@app.command()
def schema() -> None:
    """Print the JSON schema of release documents."""
    from gitops.release import json_schema

    display.document(json_schema())


@app.command()
def key() -> None:
    """Print the public key of the signatures that are made here, for an environment's settings/signers/."""
    from gitops.signing import public_key

    found = public_key()
    if found is None:
        raise BakehouseError("Sigstore signs here, without a key.", "Name identity and issuer among the signers.")
    display.say(found.rstrip("\n"))


@app.command()
def verify(
    model: AnyModel = None,
    environment: AnyEnvironment = None,
    head: Annotated[bool, typer.Option("--head", help="Ask of what is released now, not of the history.")] = False,
    as_json: Json = False,
) -> None:
    """Compute again all that can be of each release, now and in all of history: documents, pins, digests, signatures,
    trailers. Exit code 1 names what is broken."""
    from gitops import answers
    from gitops.verification import verify as ask

    checks = ask(repository(), model, environment, history=not head)
    broken = [check for check in checks if check.verdict == "broken"]
    if as_json:
        display.document([answers.check_value(check) for check in checks])
    else:
        rows = [(check.place.model, check.place.environment, check.name, check.verdict, check.said) for check in checks]
        display.table(("model", "environment", "what", "verdict", ""), rows)
    if not checks and not as_json:
        display.say("Nothing is released yet: there is nothing to verify.")
    if broken:
        first = broken[0]
        display.fail(
            f"{first.place}: {first.name} is broken: {first.said}. {len(broken)} of {len(checks)} checks failed."
        )
        raise typer.Exit(1)


@app.command()
def check(
    head: Annotated[str, typer.Option("--head", help="What would be merged.", metavar="REF")] = "HEAD",
    base: Annotated[str, typer.Option("--base", help="What it would be merged into.", metavar="REF")] = "HEAD^1",
    clone: Annotated[
        str | None, typer.Option("--clone", help="The clone that has both [default: the checkout].", metavar="FOLDER")
    ] = None,
    approvals: Annotated[
        int | None, typer.Option("--approvals", min=0, help="How many people have agreed, as the forge says.")
    ] = None,
    allow_rolled_back: Annotated[
        bool, typer.Option("--allow-rolled-back", help="Let in a version no newer than one that was rolled back.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Judge a pull request by its merge result: whether it is the promotion that it says. Lists every miss."""
    from pathlib import Path

    from bakehouse import workspace
    from bakehouse.gates import require
    from gitops import answers
    from gitops.clone import Clone
    from gitops.promotion_check import check as ask

    found = ask(
        Clone(Path(clone) if clone else workspace.root(), base),
        head,
        approvals=approvals,
        allow_rolled_back=allow_rolled_back,
    )
    if as_json:
        display.document([answers.checked_value(checked) for checked in found])
    elif not found:
        display.say("It touches no release.")
    said = ", ".join(f"{checked.kind} of {checked.place}" for checked in found)
    try:
        require([gate for checked in found for gate in checked.gates], f"The {said}")
    except GateError as error:
        if not as_json:
            raise
        display.fail(str(error))  # the verdicts are the answer
        raise typer.Exit(1) from error
    if found and not as_json:
        display.say(f"The {said} is as it should be: {', '.join(gate.name for gate in found[0].gates)}.")
