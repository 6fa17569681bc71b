"""`bakehouse release`: release documents, shown and verified."""

from __future__ import annotations

from typing import Annotated

import typer

from bakehouse.errors import BakehouseError
from commands.options import AnyEnvironment, AnyModel, Environment, Json, Model, repository
from gitops import display

app = typer.Typer(help="Show and verify release documents.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def show(
    model: Model,
    environment: Environment,
    at: Annotated[
        str | None, typer.Option("--at", help="A model version or a revision.", metavar="REVISION", show_default=False)
    ] = None,
) -> None:
    """Print a release document as it stands in git."""
    from gitops.environment import Place, require_environment
    from gitops.history import timeline

    asked = repository()
    require_environment(asked.at(), environment)
    known = timeline(asked, Place(environment, model))
    entry = known.find(at) if at is not None else known.current
    if entry is None or entry.text is None:
        raise BakehouseError(f"{environment} has no release of {model}.", "`bakehouse status` shows what is where.")
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
