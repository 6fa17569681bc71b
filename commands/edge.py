"""`bakehouse edge`: a released model as a folder that answers without a server, for a device or for a browser."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from commands.options import Json, repository
from gitops import display

if TYPE_CHECKING:
    from gitops.release import Release


def edge(
    model: Annotated[str, typer.Argument(help="The model, or the model and its version.", metavar="MODEL[@VERSION]")],
    environment: Annotated[
        str | None,
        typer.Option("--env", "-e", help="What this environment has released [default: the newest]", metavar="ENV"),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option("--to", help="The folder [default: .bakehouse/edge/MODEL-VERSION]", metavar="FOLDER"),
    ] = None,
    page: Annotated[
        bool, typer.Option("--page/--no-page", help="With a web page that answers in the browser; it needs npm.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Write a package that answers as the service does: model, contract, release, and a runner that needs numpy and
    onnxruntime alone."""
    from pathlib import Path

    from bakehouse import archives, workspace
    from bakehouse.archives import digest as digest_of
    from bakehouse.errors import ReleaseError
    from bentos.common.edge_package import write_package
    from bentos.common.images import find_bento

    name, release, number = _asked(model, environment)
    archive, identity = find_bento(name, number)
    if release is not None and release.model_digest != identity.model_digest:
        raise ReleaseError(
            f"{name} {number} is released with the model {release.model_digest}, but the bento here holds"
            f" {identity.model_digest}.",
            "Copy the archive of the released one into the image store.",
        )
    bento = archives.unpack(archive, digest_of(archive), workspace.scratch("edge") / "bento")
    folder = Path(to) if to else workspace.state() / "edge" / f"{name}-{number}"
    written = write_package(bento, release.to_json() if release else None, folder, page=page)
    if as_json:
        display.document(
            {
                "folder": str(written.folder),
                "model": name,
                "model_version": number,
                "digest": written.digest,
                "released": release is not None,
            }
        )
        return
    display.say(f"{written.folder} holds {name} {number} ({written.digest}).")
    display.say(f"Its example is answered: {written.answer}")


def _asked(model: str, environment: str | None) -> tuple[str, Release | None, int]:
    """The model, its release where it has one, and the version."""
    from bakehouse.errors import BakehouseError
    from gitops.environment import Place, environments, require_environment
    from gitops.history import released

    found = re.fullmatch(r"([a-z][a-z0-9-]*)(?:@([1-9][0-9]*))?", model)
    if found is None or (found[2] and environment):
        raise typer.BadParameter(f"{model} is not a model, or a model and its version", param_hint="MODEL[@VERSION]")
    name, number = found[1], int(found[2]) if found[2] else None
    snapshot = repository().at()
    if environment is not None:
        require_environment(snapshot, environment)
    asked = environments(snapshot) if environment is None else (environment,)
    known = [release for each in asked if (release := released(snapshot, Place(each, name)))]
    if number is not None:
        return name, next((release for release in known if release.model_version == number), None), number
    if not known:
        raise BakehouseError(
            f"{environment or 'No environment'} has {'no' if environment else 'a'} release of {name}.",
            "`bakehouse status` shows what is where; MODEL@VERSION takes a version that is not released.",
        )
    newest = max(known, key=lambda release: release.model_version)
    return name, newest, newest.model_version
