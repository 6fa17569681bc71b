"""`make demo`: the whole loop with a model, as a tour. Every command it runs is printed as a person would type it.

Trains, releases, promotes, trains again on every batch, promotes that, and rolls it back; ends with nothing running.
Where the model asks for a review of each promotion, the tour merges as its reviewer would. Where the gates refuse what
the first batch teaches, it trains on every batch; where they refuse that too, the tour shows why and ends there.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import yaml
from rich.console import Console
from rich.table import Table

from bakehouse import workspace
from bakehouse.errors import BakehouseError
from bentos.common.room import load_room
from gitops import promotion_gates
from gitops.environment import Place
from gitops.history import released
from gitops.holds import held
from gitops.observations import observations
from gitops.release import Release
from gitops.repository import PROPOSALS, GitopsRepository
from tools.background import Background, stop_on_signals
from tools.tour import StoppedError, Tour, errors_and_steps, seen_from_root

STAGING, PRODUCTION = "staging", "production"
DELIVERY_SECONDS = 90.0
STOPS = 12


def main() -> int:
    """Run the tour; 0 where it went to its end."""
    parser = argparse.ArgumentParser(prog="make demo", description="Take a model the whole way on this machine.")
    parser.add_argument("model", nargs="?", default="", help="the room to take through the house [default: orders]")
    parser.add_argument("--model", dest="named", default="", metavar="MODEL", help="the same")
    given = parser.parse_args()
    console = Console(highlight=False)
    stop_on_signals()
    logs = workspace.state() / "logs" / "demo"
    shutil.rmtree(logs, ignore_errors=True)
    tour = Tour(console, logs, STOPS)
    try:
        Demo(tour, given.named or given.model or "orders").run()
    except KeyboardInterrupt:
        console.print("\n[red]interrupted; nothing is left running")
        return 130
    except RefusedReleaseError as refusal:
        tour.show_table()
        console.print(f"The tour ends here: {refusal}. That is what gates are for; nothing is left running.")
        return 0
    except (StoppedError, BakehouseError) as error:
        console.print()
        console.print(str(error), style="red", markup=False, soft_wrap=True)
        tour.show_table()
        return 1
    tour.show_table()
    console.print("Nothing is left running. `make up` starts staging and production again, and the MLflow UI.")
    return 0


class RefusedReleaseError(Exception):
    """The gates let no release of the model in."""


class Demo:
    """The stops of the tour, for one model."""

    def __init__(self, tour: Tour, model: str) -> None:
        self.tour = tour
        self.model = model
        self.room = load_room(model)
        self.first_run, self.second_run = _run_configurations(model)
        self.repository = GitopsRepository.open()
        self.example = workspace.state() / "demo" / f"{model}.json"
        self.delivery: Background | None = None

    def run(self) -> None:
        """All of them, in order."""
        self.example.parent.mkdir(parents=True, exist_ok=True)
        self.example.write_text(json.dumps(self.room.contract.EXAMPLE, indent=2, default=str) + "\n")
        self.lift_an_earlier_hold()
        with self.delivering():
            first = self.first_release()
            self.meet(STAGING, first)
            self.promote(first)
            self.meet(PRODUCTION, first)
            second = self.train("Train the next version, on every batch", self.second_run)
            self.meet(STAGING, second)
            self.promote(second)
            self.meet(PRODUCTION, second)
            self.roll_back(second)
            self.be_refused(second)
            self.ask_git()

    def lift_an_earlier_hold(self) -> None:
        """What an earlier tour left would stop this one's promotion."""
        self.repository.fetch()
        with self.tour.stop("See what git says now") as stop:
            self.tour.run("bakehouse status")
            stop.outcome = "looked at every environment"
            if held(self.repository.at(), Place(PRODUCTION, self.model)) is not None:
                self.tour.say("An earlier rollback left a hold, which would stop the promotion below: lift it.")
                self.tour.run(f"bakehouse hold {self.model} --env {PRODUCTION} --lift")
                stop.outcome = f"lifted the hold that an earlier rollback left in {PRODUCTION}"

    @contextmanager
    def delivering(self) -> Iterator[None]:
        """Delivery in the background until the tour ends; one that runs already does as well."""
        if observations().delivering:
            self.tour.say("A delivery runs already: it follows git for this tour too.")
            yield
            return
        self.tour.console.print("[bold cyan]$ bakehouse deliver &")
        with Background(["bakehouse", "deliver"], self.tour.logs / "deliver.log") as self.delivery:
            self.tour.wait("delivery", lambda: self.still_delivering() and observations().delivering, DELIVERY_SECONDS)
            yield

    def first_release(self) -> Release:
        """What the first batch teaches; where its gates refuse that, what all batches teach together."""
        try:
            return self.train("Train on the first batch, and release into staging", self.first_run)
        except RefusedReleaseError:
            self.tour.say("The first batch alone is refused. The model's own run configuration has every batch.")
            self.tour.planned += 1
            return self.train("Train on every batch, and release into staging", self.second_run)

    def train(self, title: str, configuration: str) -> Release:
        """One training run, up to its release commit."""
        with self.tour.stop(title) as stop:
            command = f"zenml pipeline run pipelines.training.training -c {configuration}"
            said = self.tour.run(command, show=errors_and_steps(), expected=(0, 1))
            if self.tour.code:
                stop.outcome = "refused by its gates; nothing was committed"
                raise refusal(self.model, said)
            release = self.pinned(STAGING)
            self.show_gates(release)
            self.show_last_commit()
            documents = f"{release.data.accepted} of {release.data.documents} documents"
            stop.outcome = (
                f"version {release.model_version} from {documents}; {len(release.evidence.gates)} gates passed;"
                f" committed to {STAGING}"
            )
        return release

    def meet(self, environment: str, release: Release) -> None:
        """Ask an environment once it answers with the release."""
        version = release.model_version
        with self.tour.stop(f"Ask {environment}") as stop:
            seconds = self.await_answer(environment, release)
            self.ask(environment, release)
            stop.outcome = f"{environment} answers with version {version}, {seconds:.0f} s after the commit"

    def promote(self, release: Release) -> None:
        """From staging to production, when every gate passes."""
        with self.tour.stop(f"Promote version {release.model_version} to {PRODUCTION}") as stop:
            self.await_soak()
            said = self.tour.run(f"bakehouse promote {self.model} --to {PRODUCTION}")
            reviewed = not self.is_pinned(PRODUCTION, release)
            if reviewed:
                review(self.tour, self.repository, self.model, said)
            if not self.is_pinned(PRODUCTION, release):
                raise StoppedError(f"{PRODUCTION} does not pin version {release.model_version}.")
            stop.outcome = f"one commit{', reviewed' * reviewed}; {PRODUCTION} pins what {STAGING} pins"

    def roll_back(self, bad: Release) -> None:
        """Take production back to the version before."""
        with self.tour.stop(f"Roll {PRODUCTION} back") as stop:
            self.tour.run(f"bakehouse rollback {self.model} --env {PRODUCTION}")
            earlier = self.pinned(PRODUCTION)
            seconds = self.await_answer(PRODUCTION, earlier)
            self.ask(PRODUCTION, earlier)
            stop.outcome = (
                f"{PRODUCTION} answers with version {earlier.model_version} again instead of {bad.model_version},"
                f" {seconds:.0f} s after the commit"
            )

    def be_refused(self, bad: Release) -> None:
        """The hold that the rollback left stops the same version from coming back."""
        with self.tour.stop(f"Try to promote version {bad.model_version} again") as stop:
            self.tour.run(f"bakehouse promote {self.model} --to {PRODUCTION}", expected=1)
            self.tour.say("Refused, as it should be: the rollback left a hold.")
            stop.outcome = "refused by the hold, exit code 1"

    def ask_git(self) -> None:
        """What git alone knows."""
        with self.tour.stop("Ask git what happened") as stop:
            self.tour.run("bakehouse status")
            self.tour.run(f"bakehouse history {self.model} --env {PRODUCTION}")
            self.tour.run(f"bakehouse lineage {self.model} --env {PRODUCTION}")
            stop.outcome = "status, history and lineage, from git"

    def ask(self, environment: str, release: Release) -> None:
        """Which release it is, and a prediction."""
        url = f"{self.url(environment)}"
        told = self.tour.ask(f"{url}/release")
        if told.get("model_version") != release.model_version:
            raise StoppedError(f"{environment} answers as {told}, and git names version {release.model_version}.")
        self.tour.ask(f"{url}/predict", self.example)

    def await_answer(self, environment: str, release: Release) -> float:
        """Wait until delivery has brought what git names; the seconds from its commit to then."""

        def answers() -> bool:
            self.still_delivering()
            seen = observations().of(environment, self.model)
            if seen is None or seen.wanted is None or seen.wanted.release_digest != release.digest:
                return False
            if seen.status == "failed":
                raise StoppedError(f"{environment} did not come up: {seen.message}")
            return seen.in_sync

        what = f"delivery brings version {release.model_version} to {environment}"
        self.tour.wait(what, answers, DELIVERY_SECONDS)
        seen = observations().of(environment, self.model)
        if seen is None or seen.running is None or seen.since is None:
            raise StoppedError(f"{environment} stopped answering.")
        return max(0.0, (seen.since - self.repository.commit_at(seen.running.commit).time).total_seconds())

    def await_soak(self) -> None:
        """Wait for as long as production wants staging to have answered well."""
        asked = promotion_gates.admission(self.repository.at(self.repository.fetch()), PRODUCTION)
        if not asked.soak_seconds:
            return

        def soaked() -> bool:
            self.still_delivering()
            seen = observations().of(STAGING, self.model)
            since = seen.since if seen is not None else None
            return since is not None and (datetime.now(UTC) - since).total_seconds() > asked.soak_seconds

        what = f"{PRODUCTION} asks for {asked.soak_seconds:g} s of good answers in {STAGING} first"
        self.tour.wait(what, soaked, asked.soak_seconds + DELIVERY_SECONDS)

    def still_delivering(self) -> bool:
        """True, or an error with what delivery said last."""
        if self.delivery is not None and self.delivery.exit_code is not None:
            raise StoppedError(f"`bakehouse deliver` ended:\n{self.delivery.last_words()}")
        return True

    def pinned(self, environment: str) -> Release:
        """What git names now."""
        release = released(self.repository.at(self.repository.fetch()), Place(environment, self.model))
        if release is None:
            raise StoppedError(f"There is no release of {self.model} in {environment}.")
        return release

    def is_pinned(self, environment: str, release: Release) -> bool:
        """Whether git names that very release now."""
        return released(self.repository.at(self.repository.fetch()), Place(environment, self.model)) == release

    def url(self, environment: str) -> str:
        """Where the model answers."""
        seen = observations().of(environment, self.model)
        if seen is None:
            raise StoppedError(f"Nothing delivers {self.model} to {environment}.")
        return seen.url

    def show_gates(self, release: Release) -> None:
        """Why it was let in."""
        table = Table(box=None, padding=(0, 2))
        for name, share in (("gate", 0.5), ("figure", 0.2), ("must be", 0.2)):
            table.add_column(name, no_wrap=True, max_width=int(share * self.tour.console.width))
        for gate in release.evidence.gates:
            figure, threshold = (
                value if isinstance(value, str) else f"{value:.4g}" for value in (gate.figure, gate.threshold)
            )
            table.add_row(f"✓ {gate.name}", figure, f"{gate.comparison} {threshold}")
        self.tour.console.print(table)
        files = sorted({gate.source.split(":")[0] for gate in release.evidence.gates})
        self.tour.say(f"Every gate passed. Where the thresholds are set: {', '.join(files)}.")

    def show_last_commit(self) -> None:
        """The release commit, by git itself where the repository is on this machine."""
        place = Path(self.repository.url)
        if place.is_dir():
            shown = "--stat --format='%h %s%n%n%(trailers)'"
            self.tour.run(f"git -C {seen_from_root(place)} log -1 {shown} {self.repository.branch}")


def review(tour: Tour, repository: GitopsRepository, model: str, said: str) -> None:
    """Look at the proposal that `bakehouse promote` spoke of and merge it, as the one CODEOWNERS names would."""
    place, main = Path(repository.url), repository.branch
    proposed = re.search(rf"{PROPOSALS}\S*[\w-]", said)
    if proposed is None or not place.is_dir():
        raise StoppedError(
            f"Nothing was promoted: {model} asks for a review of each promotion."
            " Merge the branch that was pushed, and run the demo again."
        )
    git = f"git -C {seen_from_root(place)}"
    tour.say(f"{model} asks for a review of each promotion. The tour plays the reviewer: look, and merge.")
    tour.run(f"{git} diff --stat {main}...{proposed[0]}")
    tour.run(f"{git} fetch . {proposed[0]}:{main}")
    tour.run(f"{git} branch -D {proposed[0]}")


def refusal(model: str, said: str) -> Exception:
    """What a training run that ended with an error means: its gates refused the model, or it broke."""
    if f"{model} is not " in said and re.search(r"\d+ gates? missed:", said):
        return RefusedReleaseError(f"the gates refused this version of {model}, and nothing was released")
    return StoppedError("The run failed:\n" + "\n".join(said.splitlines()[-30:]))


def _run_configurations(model: str) -> tuple[str, str]:
    """For the first version the default run configuration where it is the model's, else the room's own with the first
    batch alone; for the second the room's own, which has every batch."""
    root, own = workspace.root(), f"bentos/{model}/run.yaml"
    default = yaml.safe_load((root / "zenml_config.yaml").read_text())
    if default["parameters"]["model"] == model:
        return "zenml_config.yaml", own
    document = yaml.safe_load((root / own).read_text())
    document["parameters"]["batches"] = document["parameters"]["batches"][:1]
    first = workspace.state() / "demo" / f"{model}-first-batch.yaml"
    first.parent.mkdir(parents=True, exist_ok=True)
    first.write_text(yaml.safe_dump(document, sort_keys=False))
    return str(seen_from_root(first)), own


if __name__ == "__main__":
    sys.exit(main())
