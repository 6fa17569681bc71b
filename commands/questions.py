"""Commands that answer questions from git: status, history, lineage, diff, board. None changes what git holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from commands.options import AnyEnvironment, Json, Model, repository
from gitops import display

if TYPE_CHECKING:
    from datetime import datetime


def status(as_json: Json = False) -> None:
    """Show what each environment has released, what is held, and what delivery saw."""
    from gitops import answers
    from gitops.observations import observations
    from gitops.status import status as ask

    rows = ask(repository(), observations())
    if as_json:
        display.document([answers.row_value(row) for row in rows])
        return
    head = ("model", "environment", "version", "image", "data", "released", "by", "delivery", "held")
    display.table(head, [answers.row_in_words(row) for row in rows])
    for row in rows:
        if row.problem:
            display.say(display.styled(row.problem, "error"))
    if not rows:
        display.say("Nothing is released yet: a training run makes the first release.")


def history(
    model: Model,
    environment: AnyEnvironment = None,
    at: Annotated[
        str | None,
        typer.Option(help="What was released at this moment (ISO 8601).", metavar="TIME", show_default=False),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="How many changes; 0 shows all.")] = 20,
    as_json: Json = False,
) -> None:
    """Show every release, rollback, removal and hold of a model, newest first."""
    from gitops import answers
    from gitops.events import events, state_at

    if at is not None:
        had = state_at(repository(), model, _moment(at), environment)
        if as_json:
            display.document(answers.moment_value(had))
        else:
            display.table(("environment", "version", "released", "commit", "held"), answers.moment_in_words(had))
        return
    found = events(repository(), model, environment, limit or None)
    if as_json:
        display.document([answers.event_value(event) for event in found])
        return
    head = ("when", "environment", "what", "version", "commit", "by", "subject")
    display.table(head, [answers.event_in_words(event) for event in found])


def lineage(model: Model, environment: AnyEnvironment = None, as_json: Json = False) -> None:
    """Show everything that a release stands on, and the command that gets each part back."""
    from gitops import answers
    from gitops.lineage import lineage as ask

    found = ask(repository(), model, environment)
    if as_json:
        display.document([answers.lineage_value(it) for it in found])
        return
    for it in found:
        display.say(f"{it.place}\n")
        display.table(("part", "what it is"), [(part.name, part.said) for part in it.parts])
        display.say("\nTo get it back:")
        for part in it.parts:
            if part.command:
                display.say(f"  {part.name + ':':15}{part.command}")
        display.say()


def diff(
    model: Model,
    old: Annotated[str, typer.Argument(metavar="OLD", help="ENV, or ENV@ with a revision or model version.")] = "",
    new: Annotated[str, typer.Argument(metavar="NEW", help="The same; a bare revision is of the other's ENV.")] = "",
    as_json: Json = False,
) -> None:
    """Show what differs between two releases; without them, between where promotions come from and where they go."""
    from gitops import answers
    from gitops.comparison import compare

    found = compare(repository(), model, old, new)
    sides = [f"{entry.place.environment} {entry.model_version}" for entry in (found.old, found.new)]
    if as_json:
        display.document(answers.comparison_value(found))
    elif found.rows:
        display.table(("", *sides), display.without_long_digests(found.rows))
    else:
        display.say(f"{sides[0]} and {sides[1]} are the same release.")


def board(
    file: Annotated[
        Path | None, typer.Option("--to", help="Where the page is written.", metavar="FILE", show_default=False)
    ] = None,
    metrics: Annotated[
        Path | None,
        typer.Option(help="Write what is released and held for Prometheus, too.", metavar="FILE", show_default=False),
    ] = None,
    reports: Annotated[
        str | None,
        typer.Option(help="Where reports are published, named by their digests.", metavar="URL", show_default=False),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=0, help="How many changes of a model in an environment; 0 shows all.")
    ] = 20,
    as_json: Json = False,
) -> None:
    """Write one HTML page of what is where, what happened, what is held, and what waits for promotion."""
    from bakehouse import workspace
    from gitops import answers
    from gitops.board import board as ask
    from gitops.board_metrics import exposition
    from gitops.board_page import links_from, page, write

    if reports is not None and not reports.startswith(("https://", "http://")):
        raise typer.BadParameter(f"{reports} is no address such as https://reports.example.com", param_hint="--reports")
    asked = repository()
    found = ask(asked, limit or None)
    if metrics is not None:
        write(exposition(found), metrics)
    written = workspace.state() / "board.html" if file is None and not as_json else file
    if written is not None:
        write(page(found, asked.url, links_from(written, reports)), written)
    if as_json:
        display.document(answers.board_value(found))
    else:
        display.say(str(written))


def _moment(text: str) -> datetime:
    from gitops.moments import moment

    found = moment(text)
    if found is None:
        raise typer.BadParameter(f"{text} is not a time such as 2026-03-01T12:00Z", param_hint="--at")
    return found
