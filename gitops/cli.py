"""The commands of `bakehouse`. Each asks one function of this package and shows its answer; nothing is decided here.

What a command needs is imported when it runs, so that `bakehouse --help` answers at once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bakehouse.errors import BakehouseError
from gitops import display
from terraform.platform.commands import app as platform_app
from terraform.policies.commands import app as governance_app

if TYPE_CHECKING:
    from gitops.observations import Observations
    from gitops.promotion import Promotion
    from gitops.repository import GitopsRepository

app = typer.Typer(
    name="bakehouse",
    help="Releases as commits: what answers where, why it was let in, and how it is undone.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
release_app = typer.Typer(help="Show and verify release documents.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(release_app, name="release")
app.add_typer(governance_app, name="governance")
app.add_typer(platform_app, name="platform")

Model = Annotated[str, typer.Argument(help="The model's name.", metavar="MODEL", show_default=False)]
AnyModel = Annotated[str | None, typer.Argument(help="One model only.", metavar="[MODEL]", show_default=False)]
Environment = Annotated[str, typer.Option("--env", "-e", help="The environment.", metavar="ENV", show_default=False)]
AnyEnvironment = Annotated[
    str | None, typer.Option("--env", "-e", help="One environment only.", metavar="ENV", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="Answer as JSON.")]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command. What the user can act on becomes one red message and exit code 1."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        app(given, prog_name="bakehouse")
    except BakehouseError as error:
        if "--debug" in given:
            raise
        display.fail(str(error))
        sys.exit(1)


def _show_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        display.say(f"bakehouse {version('bakehouse')}")
        raise typer.Exit


@app.callback()
def settings(
    _version: Annotated[
        bool,
        typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True),
    ] = False,
    _debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Releases as commits: what answers where, why it was let in, and how it is undone."""


@app.command()
def status(as_json: Json = False) -> None:
    """Show what each environment has released, what is held, and what delivery saw."""
    from gitops import answers
    from gitops.observations import observations
    from gitops.status import status as ask

    rows = ask(_repository(), observations())
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


@app.command()
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
    from gitops.events import events, released_at

    if at is not None:
        had = released_at(_repository(), model, _moment(at), environment)
        if as_json:
            display.document(answers.moment_value(had))
        else:
            display.table(("environment", "version", "released", "commit"), answers.moment_in_words(had))
        return
    found = events(_repository(), model, environment, limit or None)
    if as_json:
        display.document([answers.event_value(event) for event in found])
        return
    head = ("when", "environment", "what", "version", "commit", "by", "subject")
    display.table(head, [answers.event_in_words(event) for event in found])


@app.command()
def lineage(model: Model, environment: AnyEnvironment = None, as_json: Json = False) -> None:
    """Show everything that a release stands on, and the command that gets each part back."""
    from gitops import answers
    from gitops.lineage import lineage as ask

    found = ask(_repository(), model, environment)
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


@app.command()
def diff(
    model: Model,
    old: Annotated[str, typer.Argument(metavar="OLD", help="ENV, or ENV@ with a revision or model version.")] = "",
    new: Annotated[str, typer.Argument(metavar="NEW", help="The same; a bare revision is of the other's ENV.")] = "",
    as_json: Json = False,
) -> None:
    """Show what differs between two releases; without them, between where promotions come from and where they go."""
    from gitops import answers
    from gitops.comparison import compare

    found = compare(_repository(), model, old, new)
    sides = [f"{entry.place.environment} {entry.model_version}" for entry in (found.old, found.new)]
    if as_json:
        display.document(answers.comparison_value(found))
    elif found.rows:
        display.table(("", *sides), display.without_long_digests(found.rows))
    else:
        display.say(f"{sides[0]} and {sides[1]} are the same release.")


@app.command()
def promote(
    model: Model,
    to: Annotated[
        str, typer.Option("--to", help="The environment to promote into.", metavar="ENV", show_default=False)
    ],
    source: Annotated[
        str | None,
        typer.Option("--from", help="Where it must come from; set by the target's settings.", metavar="ENV"),
    ] = None,
    allow_rolled_back: Annotated[
        bool, typer.Option("--allow-rolled-back", help="Let in a version no newer than one that was rolled back.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Copy a model's release into the next environment when every gate passes: one commit, or a branch for review."""
    from bakehouse import workspace
    from gitops import answers
    from gitops.promotion import promote as act

    done = act(
        _repository(),
        model,
        to,
        source=source,
        observations=_observations(),
        allow_rolled_back=allow_rolled_back,
        proposals=workspace.state() / "promotions",
    )
    if as_json:
        display.document(answers.promotion_value(done))
        return
    _show_promotion(done)


@app.command()
def rollback(
    model: Model,
    environment: Environment,
    to: Annotated[
        str | None,
        typer.Option("--to", help="A model version or a revision [default: the release before].", show_default=False),
    ] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why; it stands in the commit and the hold.")] = "",
    as_json: Json = False,
) -> None:
    """Restore an earlier release of an environment, nothing else, and leave a hold."""
    from gitops import answers
    from gitops.environment import Place
    from gitops.rollback import roll_back

    done = roll_back(_repository(), Place(environment, model), to, reason)
    if as_json:
        display.document(answers.rollback_value(done))
        return
    version = done.release.model_version
    if done.action == "already there":
        display.say(f"{environment} has {model} {version} already (commit {done.commit[:10]}); nothing was changed.")
        if to is None and done.hold is not None:
            display.say("It was rolled back before. To go further back, name the version with --to.")
        return
    display.say(f"Rolled {model} in {environment} back to model version {version} (commit {done.commit[:10]}).")
    display.say(f"It is held now: `bakehouse hold {model} --env {environment} --lift` lets releases in again.")


@app.command()
def hold(
    model: Model,
    environment: Environment,
    reason: Annotated[str, typer.Option("--reason", help="Why; needed to hold.")] = "",
    lift: Annotated[bool, typer.Option("--lift", help="Remove the hold.")] = False,
) -> None:
    """Let no release of a model into an environment, until the hold is lifted."""
    from gitops import holds
    from gitops.environment import Place

    if lift == bool(reason):
        raise typer.BadParameter("give a reason to hold, or --lift to remove the hold", param_hint="--reason")
    place = Place(environment, model)
    made = holds.lift(_repository(), place) if lift else holds.hold(_repository(), place, reason)
    if made is not None:
        display.say(f"{place} is {'no longer ' if lift else ''}held (commit {made.short}).")
    else:
        display.say(f"{place} is {'not held' if lift else 'held for that reason already'}; nothing was changed.")


@app.command()
def deliver(
    environments: Annotated[
        list[str] | None, typer.Argument(metavar="[ENV]...", help="These environments only.", show_default=False)
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Bring everything up once, then stop it and return.")] = False,
) -> None:
    """Make this machine's processes follow git, until Ctrl-C."""
    import logging

    from gitops.delivery import deliver as act

    logging.basicConfig(level="INFO", format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    act(environments or (), once=once)


@release_app.command()
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

    repository = _repository()
    require_environment(repository.at(), environment)
    known = timeline(repository, Place(environment, model))
    entry = known.find(at) if at is not None else known.current
    if entry is None or entry.text is None:
        raise BakehouseError(f"{environment} has no release of {model}.", "`bakehouse status` shows what is where.")
    display.say(entry.text.rstrip("\n"))


@release_app.command()
def schema() -> None:
    """Print the JSON schema of release documents."""
    from gitops.release import json_schema

    display.document(json_schema())


@release_app.command()
def verify(model: AnyModel = None, environment: AnyEnvironment = None, as_json: Json = False) -> None:
    """Compute again what can be of each release (schema, pin, digests); exit code 1 names what is broken."""
    from gitops import answers
    from gitops.verification import verify as ask

    checks = ask(_repository(), model, environment)
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


def _repository() -> GitopsRepository:
    from gitops.repository import GitopsRepository

    return GitopsRepository.open()


def _observations() -> Callable[[], Observations]:
    from gitops.observations import observations

    return observations


def _moment(text: str) -> Any:
    from datetime import datetime

    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError as error:
        raise typer.BadParameter(f"{text} is not a time such as 2026-03-01T12:00Z", param_hint="--at") from error


def _show_promotion(done: Promotion) -> None:
    from gitops.proposal import changes

    name, target = f"{done.release.model} {done.release.model_version}", done.target.environment
    commit = done.commit[:10]
    if done.action == "already there":
        display.say(f"{target} has {name} already (commit {commit}); nothing was changed.")
        return
    said = {
        "landed": f"Promoted {name} to {target} (commit {commit}).",
        "proposed": f"{name} waits for review on the branch {done.branch} (commit {commit}).",
        "already proposed": f"{name} waits for review on the branch {done.branch} already (commit {commit}).",
    }
    display.say(said[done.action])
    display.say(
        f"{len(done.gates)} of {len(done.gates)} gates passed: {', '.join(gate.name for gate in done.gates)}.\n"
    )
    display.table(("", "before", "now"), display.without_long_digests(changes(done.release, done.previous)))
    display.say(f"\nThe pull request's text: {done.body}")
    undo = f"bakehouse rollback {done.release.model} --env {target}"
    if done.previous is not None:
        display.say(f"To undo it: {undo}{f' --to {done.previous.model_version}'}")


if __name__ == "__main__":
    main()
