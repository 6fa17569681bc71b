"""`bakehouse edge`: a released model as a folder that answers without a server, for a device or for a browser."""

from __future__ import annotations

from typing import Annotated

import typer

from commands.options import Json, repository
from gitops import display


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
    from steps.released_bentos import parse, released_bento, releases

    named = parse(model)
    if named is None or (named[1] is not None and environment is not None):
        raise typer.BadParameter(f"{model} is not a model, or a model and its version", param_hint="MODEL[@VERSION]")
    name, version = named
    known = releases(repository(), name, environment)
    if version is None and not known:
        raise ReleaseError(
            f"{environment or 'No environment'} has {'no' if environment else 'a'} release of {name}.",
            "`bakehouse status` shows what is where; MODEL@VERSION takes a version that is not released.",
        )
    number = version or max(release.model_version for release in known.values())
    release = next((release for release in known.values() if release.model_version == number), None)
    archive = released_bento(name, number, known)
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
