"""The BentoML service that every room shares: how it starts, what it is set to, and what it refuses to start with.

A room's service.py decorates its `Predictor` with it:

    @bentoml.service(name="orders", service_class=PredictionService, **SETTINGS)
    class Orders(Predictor[Request, Response]): ...
"""

from __future__ import annotations

import atexit
import gc
import logging
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any, cast

import bentoml
from bentoml._internal.configuration.containers import BentoMLContainer
from bentoml._internal.service.openapi.specification import OpenAPISpecification
from pydantic_core import to_json
from starlette.applications import Starlette

from bakehouse.errors import BakehouseError, ConfigurationError, DataError
from bentos.common.endpoint import Application, Endpoint
from bentos.common.feedback import Feedback
from bentos.common.identity import GRAPH_FILE, Identity
from bentos.common.log_files import FOLDER_VARIABLE, SHIPPED_VARIABLE
from bentos.common.masking import masker, masking_key
from bentos.common.metrics import ServiceMetrics
from bentos.common.openapi import PAGE, described
from bentos.common.prediction_log import Mask, PredictionLog
from bentos.common.predictor import Pipeline, Predictor, RefusedError
from bentos.common.serve import METRICS_VARIABLE
from bentos.common.session import OnnxModel

SETTINGS: dict[str, Any] = {
    # One worker on one core; a platform adds replicas, which it can see, rather than workers, which it can't.
    "workers": 1,
    # BentoML arms this timer for each request of its own paths and never disarms it: a long one is memory that grows.
    "traffic": {"timeout": 2.0},
    "logging": {"access": {"enabled": False}},
    # Without an exporter the spans go nowhere and cost a quarter of the time.
    "tracing": {"excluded_urls": ".*"},
}


class PredictionService(bentoml.Service[Any]):  # type: ignore[misc]  # BentoML's own is loaded lazily
    """A BentoML service whose predictions are answered by `Endpoint`."""

    @property
    def openapi_spec(self) -> OpenAPISpecification:
        """BentoML's own description with `/predict`, `/feedback` and `/release` in the contract's words."""
        room = self._room()
        return described(super().openapi_spec, room.request, room.response, room.example, room.truth)

    def inject_config(self) -> None:
        """BentoML's own, and metrics in a folder of this process: by default every service of one `BENTOML_HOME`
        shares a folder, which the next service to start empties under the others."""
        super().inject_config()
        BentoMLContainer.prometheus_multiproc_dir.set(os.environ.get(METRICS_VARIABLE) or _own_metrics_folder())

    def to_asgi(self, is_main: bool = True) -> Application:
        """The application that a worker serves. Ends the process with one line where the bento can't be trusted."""
        room = self._room()
        with _one_line(self.name):
            pipeline, identity = trusted(room)
            logged = _log_settings(room)
        metrics = ServiceMetrics(identity, room.outcomes, room.alarm)
        shipped = os.environ.get(SHIPPED_VARIABLE) == "true"
        log = None
        if logged:
            log = PredictionLog(*logged, identity.model, identity.model_version, metrics.dropped.inc, shipped=shipped)
        bentoml_app = cast("Starlette", super().to_asgi(is_main))
        folder = logged[0] if logged else None
        feedback = None
        if room.truth is not None:
            feedback = Feedback(folder, room.truth, identity.model, identity.model_version, shipped=shipped)
        application = Endpoint(bentoml_app, pipeline, identity, metrics, log, PAGE, feedback)
        _settle()
        return application

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        # BentoML calls this hook once, before any worker, which it would start again and again as each one refuses.
        setattr(self.inner, "refuse_untrusted", bentoml.on_deployment(partial(_refuse_untrusted, self)))  # noqa: B010

    def _room(self) -> Predictor[Any, Any]:
        return cast("Predictor[Any, Any]", self.inner())


def _refuse_untrusted(service: PredictionService) -> None:
    with _one_line(service.name):
        room = service._room()
        trusted(room)
        _log_settings(room)


def trusted(room: Predictor[Any, Any], bento: Path | None = None) -> tuple[Pipeline[Any, Any], Identity]:
    """The pipeline of the bento's model, once its digest is the one in model.json and in the environment's release, and
    it has answered the contract's example. `bento` is the folder that holds the packages, else this one's.

    Raises `BakehouseError`.
    """
    folder = bento or Path(__file__).resolve().parents[2]
    identity = Identity.of(folder)
    identity.agree_with_release(folder)
    pipeline = Pipeline(room, OnnxModel(folder / GRAPH_FILE, identity.model_digest), identity.model_version)
    try:
        pipeline.predict(to_json(room.example))
    except RefusedError as error:
        raise DataError(f"The contract's own example is refused: {error.problems}.") from error
    return pipeline, identity


def _log_settings(room: Predictor[Any, Any]) -> tuple[Path, Mask] | None:
    """The folder of the prediction log and its masker, where one is wanted. Raises `ConfigurationError`."""
    named = os.environ.get(FOLDER_VARIABLE)
    if not named:
        return None
    folder = Path(named)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ConfigurationError(
            f"{FOLDER_VARIABLE} is {named}, which can't be made: {error.strerror}.", "Name a folder, or unset it."
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigurationError(f"{FOLDER_VARIABLE} is {named}, which can't be written.", "Name another folder.")
    return folder, masker(room.request, masking_key())


@contextmanager
def _one_line(name: str) -> Iterator[None]:
    try:
        yield
    except BakehouseError as error:
        sys.exit(f"{name} does not start: {error}")


@cache
def _own_metrics_folder() -> str:
    folder = Path(BentoMLContainer.bentoml_home.get()) / "metrics" / str(os.getpid())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return str(folder)


def _settle() -> None:
    """Make the worker ready for load: what is loaded now is never garbage, and nobody reads an access log."""
    # Without handlers uvicorn makes no access lines; with BentoML's root handler it makes each and throws it away.
    logging.getLogger("uvicorn.access").propagate = False
    # The log's thread must not hold the event loop for the 5 ms that are Python's default.
    sys.setswitchinterval(0.001)
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 1_000)
