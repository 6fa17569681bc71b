"""Mirror: the registry's aliases follow git. Each environment's champion gets the alias named after the environment.

`python -m steps.mirror` does it for all of them, and is what local delivery calls after a sync. Imports no ZenML.
"""

from __future__ import annotations

from gitops.environment import Place, environments, places
from gitops.history import released
from gitops.repository import GitopsRepository
from steps import registry


def mirror(repository: GitopsRepository | None = None) -> dict[Place, int]:
    """Set every alias, and bring back versions that git knows and the registry has lost. Returns the champions."""
    repository = repository or GitopsRepository.open()
    repository.fetch()
    snapshot = repository.at()
    champions = {}
    for place in places(snapshot):
        release = released(snapshot, place)
        if release is not None:
            champions[place] = release.model_version
    for model in sorted({place.model for place in champions}):
        registry.restore(repository, model)
        for environment in environments(snapshot):
            registry.alias(model, environment, champions.get(Place(environment, model)))
    return champions


if __name__ == "__main__":
    for champion, version in mirror().items():
        print(f"{champion}: version {version}")  # noqa: T201
