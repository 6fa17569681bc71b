"""Mirror: the registry's aliases follow git. Each environment's champion gets the alias named after the environment.

`python -m steps.mirror` does it for all of them, and is what local delivery calls after a sync. Imports no ZenML.
"""

from __future__ import annotations

import logging

from bakehouse.errors import DataError
from gitops.environment import Place, environments, places
from gitops.history import released
from gitops.repository import GitopsRepository
from steps import registry

logger = logging.getLogger(__name__)


def mirror(repository: GitopsRepository | None = None) -> dict[Place, int]:
    """Set every alias, and bring back versions that git knows and the registry has lost. Returns the champions that
    have their alias. One whose version the registry can't hold any more is logged, and the others go on."""
    repository = repository or GitopsRepository.open()
    repository.fetch()
    snapshot = repository.at()
    champions: dict[Place, int] = {}
    for place in places(snapshot):
        release = released(snapshot, place)
        if release is not None:
            champions[place] = release.model_version
    for model in sorted({place.model for place in champions}):
        registry.restore(repository, model)
        for environment in environments(snapshot):
            place = Place(environment, model)
            try:
                registry.alias(model, environment, champions.get(place))
            except DataError as error:
                logger.warning("%s", error)
                del champions[place]
    return champions


if __name__ == "__main__":
    for champion, version in mirror().items():
        print(f"{champion}: version {version}")  # noqa: T201
