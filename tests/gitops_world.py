"""What the tests of releases share: release documents, and a world of environments to put them in."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from bakehouse.gates import at_least
from gitops.commits import Blob, Change, Commit
from gitops.observations import Observation, Observations, Pinned
from gitops.release import Code, Data, DataFile, Evidence, Image, Metric, Release, Run, sha256
from gitops.repository import GitopsRepository
from gitops.signing import sign

NO_CONDITIONS = "from: staging\nrequire_healthy: false\nsoak_seconds: 0\ncompared_with_champion: false\n"
SETTINGS = "environments/production/settings/promotion.yaml"


def release(
    version: int = 1,
    *,
    model: str = "orders",
    champion: int | None = None,
    policy: Literal["review", "automatic"] = "automatic",
    average_precision: float = 0.9,
    made: datetime | None = None,
    image: str = "",
) -> Release:
    """A release document whose every digest follows from model, version and `image`."""

    def digest(what: str) -> str:
        return sha256(f"{what} of {model} {version} {image}".encode())

    return Release(
        model=model,
        model_version=version,
        image=Image(name=f"bakehouse/{model}", tag=str(version), digest=digest("image")),
        model_digest=digest("model"),
        data=Data(
            version=digest("data")[7:39],
            files=(DataFile(path="batch.ndjson", md5=digest("data")[7:39], size=1000 + version, documents=100),),
            documents=100,
            accepted=98,
        ),
        code=Code(commit=digest("code")[7:47], dirty=False),
        run=Run(zenml=f"zenml-{version}", mlflow=f"mlflow-{version}"),
        evidence=Evidence(
            champion=champion,
            test_rows=50,
            test_digest=digest("rows"),
            metrics={
                "average_precision": Metric(
                    value=average_precision, low=0.85, high=0.95, champion=0.88 if champion else None
                )
            },
            gates=(at_least("average_precision", average_precision, 0.8, "problem.yaml: gates.average_precision"),),
            reports={"profile.html": digest("profile")},
            sbom=digest("sbom"),
        ),
        promotion_policy=policy,
        created_at=(made or datetime.now(UTC)).replace(microsecond=0),
        created_by="Ada Lovelace <ada@example.org>",
    )


def signed_release(folder: Path, version: int = 1, **given: Any) -> tuple[Release, bytes]:
    """A release document and the signature that its evidence names, over a graph and a bill of materials of its own,
    which are written to `folder`."""
    plain = release(version, **given)
    contents = {"model.onnx": f"graph {version}", "sbom.cdx.json": f"bill {version}"}
    place = folder / f"{plain.model}-{version}"
    place.mkdir(parents=True, exist_ok=True)
    for name, text in contents.items():
        (place / name).write_text(text)
    bundle = sign(place).read_bytes()
    graph, bill = (sha256(text.encode()) for text in contents.values())
    evidence = plain.evidence.model_copy(update={"sbom": bill, "signature": sha256(bundle)})
    return plain.model_copy(update={"model_digest": graph, "evidence": evidence}), bundle


def commit_files(repository: GitopsRepository, files: Mapping[str, str | None], subject: str = "By hand") -> Commit:
    """A commit made by hand: these files written, or removed where None."""
    contents: dict[str, bytes | Blob | None] = {
        path: None if text is None else text.encode() for path, text in files.items()
    }
    made = repository.commit(lambda _: Change(subject, contents))
    assert made is not None
    return made


def ask(repository: GitopsRepository, text: str) -> None:
    """Let production ask this of what is promoted into it."""
    commit_files(repository, {SETTINGS: text}, "Ask for something else")


@dataclass
class World:
    """A checkout with two environments, and the GitOps repository that is made from it."""

    folder: Path
    promotion: str = NO_CONDITIONS
    seen: dict[tuple[str, str], Observation] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for environment in ("staging", "production"):
            settings = self.checkout / "environments" / environment / "settings"
            settings.mkdir(parents=True)
            (settings / "kustomization.yaml").write_text("kind: Component\n")
        (self.checkout / "environments" / "production" / "settings" / "promotion.yaml").write_text(self.promotion)
        (self.checkout / "bentos").mkdir()

    @property
    def checkout(self) -> Path:
        """Where `environments/` stands."""
        return self.folder / "checkout"

    @property
    def bodies(self) -> Path:
        """Where pull request texts go."""
        return self.folder / "bodies"

    @property
    def bare(self) -> Path:
        """The GitOps repository itself."""
        return Path(os.environ["BAKEHOUSE_STATE"]) / "gitops.git"

    def observe(
        self, document: Release, environment: str = "staging", seconds: float = 60, healthy: bool = True
    ) -> None:
        """Let delivery have seen this release running for so long."""
        pinned = Pinned(
            commit="0" * 40,
            model_version=document.model_version,
            image_digest=document.image.digest,
            release_digest=document.digest,
        )
        self.seen[environment, document.model] = Observation(
            environment=environment,
            model=document.model,
            status="running",
            wanted=pinned,
            running=pinned,
            healthy=healthy,
            since=datetime.now(UTC) - timedelta(seconds=seconds),
            message="" if healthy else "it does not answer",
        )

    def observations(self) -> Observations:
        """What delivery would say."""
        return Observations(delivering=True, deployments=tuple(self.seen.values()))

    def git(self, *arguments: str, at: Path | None = None) -> str:
        """Plain git, as a person would type it (in the bare repository unless said)."""
        done = subprocess.run(["git", "-C", at or self.bare, *arguments], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def clone(self, name: str = "clone") -> Path:
        """A person's own clone."""
        folder = self.folder / name
        self.git("clone", "--quiet", str(self.bare), str(folder), at=self.folder)
        return folder
