"""The docs of a service: BentoML's OpenAPI description with `/predict` and `/release` in the words of the contract, and
the page that shows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, cast

import attrs
from bentoml._internal.service.openapi.specification import OpenAPISpecification, PathItem
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from bentos.common import feedback
from bentos.common.endpoint import FEEDBACK, MOST_BYTES, PREDICT, RELEASE
from bentos.common.identity import Identity
from bentos.common.predictor import MOST_DOCUMENTS

PAGE = b"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Predictions</title>
<link rel="stylesheet" href="./static_content/swagger-ui.css">
</head>
<body>
<div id="docs"></div>
<script src="./static_content/swagger-ui-bundle.js"></script>
<script>SwaggerUIBundle({url: "./docs.json", dom_id: "#docs", validatorUrl: null})</script>
</body>
</html>
"""
"""Swagger's page without the tag manager of BentoML's own, which tells Google who reads it."""

_REFUSALS = {
    "400": "The body is not JSON.",
    "405": "Another method than POST.",
    "408": "The body did not arrive in time.",
    "413": f"The body has more than {MOST_BYTES} bytes.",
    "415": "The body is not plain JSON in UTF-8.",
    "422": "A document breaks the contract.",
}
_PROBLEMS = {
    "type": "object",
    "required": ["request_id", "problems"],
    "properties": {
        "request_id": {"type": "string"},
        "problems": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "reason"],
                "properties": {
                    "field": {"type": "string"},
                    "reason": {"type": "string"},
                    "allowed": {"type": "string"},
                },
            },
        },
        "more_problems": {"type": "integer"},
    },
}


def described(
    specification: OpenAPISpecification,
    request: type[BaseModel],
    response: type[BaseModel],
    example: Mapping[str, Any],
    truth: Any = None,
) -> OpenAPISpecification:
    """`specification` with our paths and the schemas they speak of; `/feedback` where there is a type of `truth`."""
    told = feedback.document(truth) if truth is not None else None
    schemas: list[tuple[type[BaseModel], Literal["validation", "serialization"]]] = [
        (request, "validation"),
        (response, "serialization"),
        (Identity, "serialization"),
    ]
    if told is not None:
        schemas.append((told, "validation"))
    names, definitions = models_json_schema(schemas, ref_template="#/components/schemas/{model}")
    asked, answered = names[request, "validation"], names[response, "serialization"]
    components: dict[str, Any] = dict(cast("Any", specification.components))
    components["schemas"] = {**components.get("schemas", {}), **definitions["$defs"], "Problems": _PROBLEMS}
    predict = {
        "tags": ["Service APIs"],
        "operationId": "predict",
        "summary": f"Predict one document, or a list of at most {MOST_DOCUMENTS}.",
        "description": "An X-Request-Id is taken over where it is given, and made where it isn't; the answer holds it.",
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": _one_or_several(asked, maxItems=MOST_DOCUMENTS),
                    "examples": {"one": {"value": dict(example)}, "several": {"value": [dict(example)]}},
                }
            },
        },
        "responses": {
            "200": {"description": "The answer to each document.", "content": _json(_one_or_several(answered))},
            **_refused(),
        },
    }
    answer = {"description": "The bento's model.json.", "content": _json(names[Identity, "serialization"])}
    release = {
        "tags": ["Infrastructure"],
        "operationId": "release",
        "summary": "Which model version answers.",
        "responses": {"200": answer},
    }
    paths = {**specification.paths, PREDICT: PathItem(post=predict), RELEASE: PathItem(get=release)}
    if told is not None:
        paths[FEEDBACK] = PathItem(post=_feedback(names[told, "validation"]))
    described: OpenAPISpecification = attrs.evolve(specification, paths=paths, components=cast("Any", components))
    return described


def _feedback(document: Mapping[str, Any]) -> dict[str, Any]:
    recorded = {"type": "object", "required": ["recorded"], "properties": {"recorded": {"type": "integer"}}}
    return {
        "tags": ["Service APIs"],
        "operationId": "feedback",
        "summary": f"Tell the true label of one document, or of at most {MOST_DOCUMENTS}.",
        "requestBody": {"required": True, "content": _json(_one_or_several(document, maxItems=MOST_DOCUMENTS))},
        "responses": {
            "200": {"description": "It is written down.", "content": _json(recorded)},
            **_refused(),
            "503": {"description": "It can't be written.", "content": _json({"$ref": "#/components/schemas/Problems"})},
        },
    }


def _refused() -> dict[str, Any]:
    return {
        status: {"description": reason, "content": _json({"$ref": "#/components/schemas/Problems"})}
        for status, reason in _REFUSALS.items()
    }


def _one_or_several(reference: Mapping[str, Any], **bounds: int) -> dict[str, Any]:
    return {"oneOf": [reference, {"type": "array", "items": reference, "minItems": 1, **bounds}]}


def _json(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
