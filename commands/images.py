"""`bakehouse image`: the OCI image of a model version, built again from its bento, pushed, held against its releases.

The pipeline builds and pushes by itself where BAKEHOUSE_IMAGE_REGISTRY is set. This is for looking, for another
registry, and for checking that the image in a release is what anybody gets who builds it.
"""

from __future__ import annotations

from typing import Annotated

import typer

from commands.options import Json, repository
from gitops import display


def image(
    version: Annotated[
        str, typer.Argument(help="The model and its version.", metavar="MODEL@VERSION", show_default=False)
    ],
    push: Annotated[
        str | None,
        typer.Option("--push", help="Push it there: a host, or a host and a path.", metavar="REGISTRY"),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option("--engine", help="buildah, podman or docker [default: the first that works].", metavar="ENGINE"),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Fail unless it is what every release of the version names.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Build the OCI image of a model version from its bento, and push it where --push says."""
    from bakehouse import workspace
    from bakehouse.archives import digest as digest_of
    from bentos.common.images import build_image, image_digest, image_name, push_image
    from steps.released_bentos import parse, released_bento, releases

    model, number = parse(version) or (version, None)
    if number is None:
        raise typer.BadParameter(f"{version} is not a model and its version", param_hint="MODEL@VERSION")
    known = releases(repository(), model)
    archive = released_bento(model, number, known)
    built = build_image(archive, digest_of(archive), image_name(model, push or workspace.image_registry()), engine)
    digest = push_image(built) if push else image_digest(built)
    named = {name: it.image.digest == digest for name, it in known.items() if it.model_version == number}
    if as_json:
        display.document(
            {
                "image": built.reference,
                "digest": digest,
                "engine": built.engine.name,
                "pushed": push is not None,
                "labels": dict(sorted(built.labels.items())),
                "released_in": named,
            }
        )
    else:
        where = "pushed" if push else f"in the store of {built.engine.name}"
        display.say(f"{built.reference}{f'@{digest}' if digest else ''} ({where})")
        for environment, same in named.items():
            display.say(f"{environment} has released {'this image' if same else 'another image of it'}.")
    if check and not (named and all(named.values())):
        others = ", ".join(environment for environment, same in named.items() if not same)
        display.fail(
            f"{others or 'No environment'} {'names another digest' if others else 'has released it'}."
            " The same bento, base and engine give the same digest: compare them."
        )
        raise typer.Exit(1)
