"""Asks a service the contract's example until the model version that the release names has answered it:
`python -m bentos.common.smoke http://{model}-bento`. Runs in the bento's own image, and stands on nothing else in it.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import time
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from bakehouse.errors import BakehouseError, DeliveryError, ReleaseError
from bentos.common.identity import RELEASE_VARIABLE

PAUSE_SECONDS = 0.5
ANSWER_SECONDS = 5.0


def main() -> int:
    """Ask until it answers or the time is over; 1 and one line where it does not."""
    parser = argparse.ArgumentParser(prog="python -m bentos.common.smoke", description=__doc__)
    parser.add_argument("address", help="the service's address; {model} stands for the released model's name")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the release may take to answer")
    options = parser.parse_args()
    try:
        print(smoke(options.address, options.seconds))  # noqa: T201
    except BakehouseError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


def smoke(address: str, seconds: float) -> str:
    """Ask until the release of `BAKEHOUSE_RELEASE` answers; one line that says so.

    Raises `ReleaseError` where the release can't be read, and `DeliveryError` where the released version refuses its
    own example, or something else (or nothing) answers for so many seconds.
    """
    release = _release()
    model, version = release["model"], str(release["model_version"])
    example = importlib.import_module(f"bentos.{model}.contract").EXAMPLE
    url = f"{address.format(model=model).rstrip('/')}/predict"
    if urlsplit(url).scheme not in {"http", "https"}:
        raise DeliveryError(f"{url} is no HTTP address.", "Name the service's address, such as http://service.")
    request = Request(url, json.dumps(example).encode(), {"Content-Type": "application/json"})  # noqa: S310  # see above
    deadline = time.monotonic() + seconds
    while True:
        seen, answered = _ask(request, version)
        if answered:
            return f"{url}: {seen}"
        if time.monotonic() > deadline:
            raise DeliveryError(
                f"{model} {version} did not answer within {seconds:g} seconds; {url}: {seen}.",
                "Look at the pods of its Deployment, or roll back.",
            )
        time.sleep(PAUSE_SECONDS)


def _ask(request: Request, version: str) -> tuple[str, bool]:
    """What was seen, and whether it was the wanted version's answer. Raises `DeliveryError` where that one refuses."""
    try:
        with urlopen(request, timeout=ANSWER_SECONDS) as answer:  # noqa: S310  # its scheme was looked at
            status, headers, body = answer.status, answer.headers, answer.read()
    except HTTPError as refusal:
        with refusal:
            status, headers, body = refusal.code, refusal.headers, refusal.read()
    except (OSError, HTTPException) as error:
        return f"no answer ({error})", False
    answering = headers.get("X-Model-Version", "")
    if answering != version:
        return f"version {answering or 'unknown'} answers, with status {status}", False
    if status >= 500:  # it may be shutting down, or have too much to do
        return f"version {version} answers with status {status}", False
    if status != 200:
        raise DeliveryError(f"Version {version} refuses the contract's example with status {status}: {body[:500]!r}.")
    _require_version_in(body, version)
    return f"version {version} answers the contract's example", True


def _require_version_in(body: bytes, version: str) -> None:
    """A response that names a model version must name the one in the header."""
    try:
        named = json.loads(body).get("model_version")
    except (ValueError, AttributeError) as error:
        raise DeliveryError(f"Version {version} answers the contract's example with no JSON object.") from error
    if named is not None and str(named) != version:
        raise DeliveryError(f"The answer says model version {named}, its header {version}.", "Roll back.")


def _release() -> dict[str, Any]:
    named = os.environ.get(RELEASE_VARIABLE, "")
    try:
        release = json.loads(Path(named).read_bytes())
        return {field: release[field] for field in ("model", "model_version")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ReleaseError(
            f"{RELEASE_VARIABLE} is {named!r}, which is no release document: {error}.", "Let it name a release.json."
        ) from error


if __name__ == "__main__":
    sys.exit(main())
