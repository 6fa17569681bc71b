"""Commands that commit: promote, rollback, adopt, hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from commands.options import Environment, Json, Model, repository
from gitops import display

if TYPE_CHECKING:
    from gitops.promotion import Promotion

Reason = Annotated[str, typer.Option("--reason", help="Why; it stands in the commit and the hold.", metavar="TEXT")]


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
    open_pr: Annotated[
        bool, typer.Option("--open-pr", help="Open the pull request by gh, whatever the policy; automatic ones merge.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Copy a model's release into the next environment when every gate passes: one commit, or a branch for review."""
    from bakehouse import workspace
    from gitops import answers
    from gitops.observations import observations
    from gitops.promotion import promote as act

    done = act(
        repository(),
        model,
        to,
        source=source,
        observations=observations,
        allow_rolled_back=allow_rolled_back,
        open_pr=open_pr,
        proposals=workspace.state() / "promotions",
    )
    if as_json:
        display.document(answers.promotion_value(done))
        return
    _show_promotion(done)


def rollback(
    model: Model,
    environment: Environment,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            help="A model version, a revision or a time [default: the release before].",
            metavar="REVISION",
            show_default=False,
        ),
    ] = None,
    reason: Reason = "",
    if_current: Annotated[
        str | None,
        typer.Option(
            "--if-current",
            help="Only where this revision's release is current and plainly to blame.",
            metavar="REVISION",
        ),
    ] = None,
    open_pr: Annotated[
        bool, typer.Option("--open-pr", help="Open a pull request by gh, where nobody may push to the branch.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Restore an earlier release of an environment, nothing else, and leave a hold."""
    from bakehouse import workspace
    from gitops import answers
    from gitops.environment import Place
    from gitops.rollback import roll_back

    proposals = workspace.state() / "rollbacks" if open_pr else None
    done = roll_back(repository(), Place(environment, model), to, reason, if_current=if_current, proposals=proposals)
    if as_json:
        display.document(answers.rollback_value(done))
        return
    version = done.release.model_version if done.release is not None else "none"
    if done.action == "not current":
        display.say(
            f"{environment} has another release of {model} since that revision ({version}); nothing was changed."
        )
        return
    if done.action == "already there":
        display.say(f"{environment} has {model} {version} already (commit {done.commit[:10]}); nothing was changed.")
        if to is None and done.hold is not None:
            display.say("It was rolled back before. To go further back, name the version with --to.")
        return
    if done.request is not None:
        display.say(
            f"{environment} goes back to {model} {version} when this is merged: {done.request.address} (branch"
            f" {done.request.branch}, commit {done.commit[:10]})."
        )
        _show_untouched(done.untouched)
        return
    display.say(f"Rolled {model} in {environment} back to model version {version} (commit {done.commit[:10]}).")
    _show_untouched(done.untouched)
    display.say(f"It is held now: `bakehouse hold {model} --env {environment} --lift` lets releases in again.")


def adopt(
    model: Model,
    environment: Environment,
    revision: Annotated[
        str | None,
        typer.Option(
            "--revision",
            help="What runs, as a revision of git [default: Argo CD's last sync].",
            metavar="REVISION",
            show_default=False,
        ),
    ] = None,
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Commit the release that really runs, after `argocd app rollback`, and leave a hold."""
    from gitops import answers
    from gitops.adoption import adopt as act
    from gitops.environment import Place

    done = act(repository(), Place(environment, model), revision, reason)
    if as_json:
        display.document(answers.adoption_value(done))
        return
    name, taken = f"{model} {done.release.model_version}", f"commit {done.commit[:10]}"
    if done.action == "already there":
        display.say(f"git has {name} in {environment} already ({taken}); there is nothing to adopt.")
    else:
        display.say(f"Adopted {name} in {environment}, which runs there since {done.revision[:10]} ({taken}).")
    display.say(
        f"It was not compared with the cluster: {done.not_compared}."
        if done.not_compared
        else "The cluster runs that image with that release document."
    )
    _show_untouched(done.untouched)
    if done.action == "adopted":
        display.say(f"It is held now: `bakehouse hold {model} --env {environment} --lift` lets releases in again.")
    if done.paused:
        what = "brings what has changed since" if done.untouched else "restarts nothing"
        display.say(f"To let Argo CD follow git again, which {what}:\n  {done.resume}")
        display.say("or, without the right to edit it, enable auto-sync by the button of Argo CD's page.")


def hold(
    model: Model,
    environment: Environment,
    reason: Annotated[str, typer.Option("--reason", help="Why; needed to hold.", metavar="TEXT")] = "",
    lift: Annotated[bool, typer.Option("--lift", help="Remove the hold.")] = False,
    as_json: Json = False,
) -> None:
    """Let no release of a model into an environment, until the hold is lifted."""
    from gitops import answers, holds
    from gitops.environment import Place, is_released

    if lift == bool(reason):
        raise typer.BadParameter("give a reason to hold, or --lift to remove the hold", param_hint="--reason")
    place, asked = Place(environment, model), repository()
    made = holds.lift(asked, place) if lift else holds.hold(asked, place, reason)
    known = is_released(asked.at(), model)
    if as_json:
        display.document(answers.hold_value(place, holds.held(asked.at(), place), made, known))
        return
    if made is not None:
        display.say(f"{place} is {'no longer ' if lift else ''}held (commit {made.short}).")
    else:
        display.say(f"{place} is {'not held' if lift else 'held for that reason already'}; nothing was changed.")
    if not known:
        display.say(f"No environment has a release of {model}: make sure that this is its name.")


def _show_untouched(lines: Sequence[str]) -> None:
    if lines:
        display.say("Changed since then, and left as it is:")
        for line in lines:
            display.say(f"  {line}")


def _show_promotion(done: Promotion) -> None:
    from gitops.proposal import changes

    name, target = f"{done.release.model} {done.release.model_version}", done.target.environment
    commit = done.commit[:10]
    if done.action == "already there":
        display.say(f"{target} has {name} already (commit {commit}); nothing was changed.")
        return
    waits = "review" if done.policy == "review" else "the checks"
    said = {
        "landed": f"Promoted {name} to {target} (commit {commit}).",
        "proposed": f"{name} waits for {waits} on the branch {done.branch} (commit {commit}).",
        "already proposed": f"{name} waits for {waits} on the branch {done.branch} already (commit {commit}).",
    }
    display.say(said[done.action])
    display.say(f"All {len(done.gates)} gates passed: {', '.join(gate.name for gate in done.gates)}.\n")
    display.table(("", "before", "now"), display.without_long_digests(changes(done.release, done.previous)))
    opened = f"The pull request: {done.pull_request}" if done.pull_request else f"The pull request's text: {done.body}"
    display.say(f"\n{opened}")
    undo = f"bakehouse rollback {done.release.model} --env {target}"
    if done.previous is not None:
        then = "To" if done.action == "landed" else "Once merged, to"
        display.say(f"{then} undo it: {undo} --to {done.previous.model_version}")
