"""The software bill of materials of a bento, in CycloneDX 1.6: its libraries, its model and the data behind it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from importlib.metadata import Distribution

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.contact import OrganizationalEntity
from cyclonedx.model.license import DisjunctiveLicense, License, LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.utils import canonicalize_name

from bentos.common.identity import GRAPH_FILE, Identity

LONGEST_NAME = 100


def sbom(identity: Identity, distributions: Sequence[Distribution]) -> str:
    """The document for the bento of `identity` and what is installed beside it; the same input gives the same text."""
    bento = Component(
        name=f"bakehouse/{identity.model}",
        version=str(identity.model_version),
        type=ComponentType.APPLICATION,
        bom_ref="bento",
    )
    graph = Component(
        name=GRAPH_FILE,
        version=str(identity.model_version),
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref="model",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=identity.model_digest.removeprefix("sha256:"))],
        properties=[
            Property(name="bakehouse:data-version", value=identity.data_version),
            Property(name="bakehouse:code-commit", value=identity.code_commit),
        ],
    )
    libraries = [_library(found) for found in distributions]
    bom = Bom(components=[graph, *libraries])
    bom.metadata.component = bento
    bom.metadata.timestamp = identity.built_at
    # A random serial number would make every document differ; this one names what the document is about.
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_URL, f"bakehouse/{identity.model_dump_json()}")
    bom.register_dependency(bento, [graph, *libraries])
    return JsonV1Dot6(bom).output_as_string(indent=2) + "\n"


def _library(found: Distribution) -> Component:
    metadata = found.metadata.json
    name = canonicalize_name(found.name)
    author = metadata.get("author")
    return Component(
        name=name,
        version=found.version,
        type=ComponentType.LIBRARY,
        bom_ref=f"{name}=={found.version}",
        purl=PackageURL("pypi", name=name, version=found.version),
        licenses=[licence] if (licence := _licence(metadata)) else None,
        supplier=OrganizationalEntity(name=str(author)) if author else None,
    )


def _licence(metadata: Mapping[str, str | list[str]]) -> License | None:
    # The expression (PEP 639) is precise; the older field is at times the whole text of the licence.
    expression = metadata.get("license_expression")
    if expression:
        return LicenseExpression(str(expression))
    named = str(metadata.get("license", "")).strip()
    if named and len(named) < LONGEST_NAME and "\n" not in named:
        return DisjunctiveLicense(name=named)
    classifiers = [line for line in metadata.get("classifier", ()) if line.startswith("License ::")]
    return DisjunctiveLicense(name=classifiers[0].rpartition(" :: ")[2]) if classifiers else None
