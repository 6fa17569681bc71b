"""Rules on the Terraform sources: pins, back end, secrets, tags, documentation, wildcards, protection, hygiene."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from terraform.policies.rules import Judgement, Rule, broken, expect, kept, unknown
from terraform.policies.settings import settings
from terraform.policies.sources import UNRESOLVED, Block, Folder, Sources, walk

_ITSELF = "the source itself"
_EXACT = re.compile(r"=?\s*[0-9]+\.[0-9]+\.[0-9]+")
_BOUNDED = re.compile(r"(=|~>)?\s*[0-9]+(\.[0-9]+)*|>=\s*[0-9.]+,\s*<\s*[0-9.]+")
_COMMIT = re.compile(r"[?&]ref=[0-9a-f]{40}\b")
_SECRET_NAME = re.compile(
    r"(password|passwd|secret|token|private_key|api_key|access_key|credential)s?(_value|_string)?$", re.I
)
_SECRET_TEXT = re.compile(
    r"AKIA[0-9A-Z]{16}|-----BEGIN [A-Z ]*PRIVATE KEY-----|gh[pousr]_[A-Za-z0-9]{30,}|xox[baprs]-[A-Za-z0-9-]{10,}"
    r"|[a-z]+://[^/\s:@\"$]+:[^/\s:@\"$]+@"
)
_RUNS_CODE = ("provisioner", "local-exec", "remote-exec")
_FORBIDDEN = ("null_resource", "terraform_data", "external")


def versions_are_pinned(sources: Sources) -> Iterator[Judgement]:
    """Roots name one version of Terraform's minor and one exact version of each provider; modules a bounded range, or
    no provider where they only reckon; module calls a local folder, or a commit."""
    for folder in sources.folders:
        found = list(folder.settings())
        required = [block.body["required_version"] for block in found if "required_version" in block.body]
        providers = {
            name: pin
            for block in found
            for item in block.body.get("required_providers", ())
            for name, pin in item.items()
        }
        fault = None
        if not required or not all(_bounded(folder.resolve(version)) for version in required):
            fault = f"required_version is {required or 'missing'}, not bounded above"
        elif not providers and (folder.is_root or [*folder.resources(), *folder.resources("data")]):
            fault = "it pins no provider"
        for name, pin in providers.items():
            version = folder.resolve(pin.get("version") if isinstance(pin, Mapping) else pin)
            if not isinstance(version, str) or not (_EXACT if folder.is_root else _BOUNDED).fullmatch(version.strip()):
                fault = (
                    f"the provider {name} is pinned to {version!r}, not {'exactly' if folder.is_root else 'a range'}"
                )
        yield expect(folder.name, fault is None, fault or "")
        for call in folder.blocks("module"):
            source = folder.resolve(call.body.get("source"))
            pinned = isinstance(source, str) and (
                source.startswith(("./", "../"))
                or _COMMIT.search(source) is not None
                or _EXACT.fullmatch(str(call.body.get("version", ""))) is not None
            )
            yield expect(call.subject, pinned, f"its source {source!r} is neither here nor pinned")


def state_is_remote(sources: Sources) -> Iterator[Judgement]:
    """Each root keeps its state in S3, encrypted, locked, under a key of its own; no module says anything about it."""
    seen: dict[str, str] = {}
    for folder in sources.folders:
        backends = [
            (block, kind, body)
            for block in folder.settings()
            for item in block.body.get("backend", ())
            for kind, body in item.items()
        ]
        elsewhere = [block for block in folder.settings() if "cloud" in block.body]
        if not folder.is_root:
            if backends:
                yield broken(folder.name, "a module has no back end")
            continue
        if len(backends) != 1 or elsewhere or backends[0][1] != "s3":
            kinds = ", ".join(kind for _, kind, _ in backends) or "none"
            yield broken(folder.name, f"its back end is {kinds}, not S3")
            continue
        body = backends[0][2]
        key = body.get("key")
        fault = None
        if body.get("use_lockfile") is not True:
            fault = "use_lockfile is not true"
        elif body.get("encrypt") is not True:
            fault = "encrypt is not true"
        elif not isinstance(key, str) or not key:
            fault = "it has no key"
        elif key in seen:
            fault = f"it shares its key with {seen[key]}"
        seen.setdefault(str(key), folder.name)
        yield expect(folder.name, fault is None, fault or "")


def no_secret_is_written(sources: Sources) -> Iterator[Judgement]:
    """No text has the shape of a credential, and nothing named like one is given a value."""
    for folder in sources.folders:
        for file, text in folder.texts.items():
            match = _SECRET_TEXT.search(text)
            yield expect(
                f"{folder.name}/{file}", match is None, f"it holds what looks like a credential: {_shorten(match)}"
            )
        for name, value in folder.locals.items():
            if _is_secret(name) and _has_text(folder, value):
                yield broken(f"{folder.name}: local.{name}", "it is given a value")
        for block in folder.blocks("variable"):
            sensitive = block.body.get("sensitive") is True or _is_secret(block.label.removeprefix("variable "))
            if sensitive and block.body.get("default") not in (None, ""):
                yield broken(block.subject, "a secret has a default")
        for block in [
            *folder.resources(),
            *folder.resources("data"),
            *folder.blocks("module"),
            *folder.blocks("provider"),
        ]:
            for path, value in walk(block.body):
                if path and _is_secret(path[-1]) and _has_text(folder, value):
                    yield broken(block.subject, f"{'.'.join(path)} is given a value")


def tags_by_default(sources: Sources) -> Iterator[Judgement]:
    """Each AWS provider of a root tags everything with the required tags; no module configures a provider."""
    for folder in sources.folders:
        providers = [block for block in folder.blocks("provider") if block.label == "provider aws"]
        if not folder.is_root:
            if providers:
                yield broken(folder.name, "a module configures a provider")
            continue
        if not providers:
            yield broken(folder.name, "it configures no AWS provider")
        for provider in providers:
            yield _default_tags(folder, provider)


def variables_are_explained(sources: Sources) -> Iterator[Judgement]:
    """Each variable has a type, a description and a validation; a bool, which has none to make, may not be null."""
    for folder in sources.folders:
        for block in folder.blocks("variable"):
            missing = [name for name in ("type", "description") if not block.body.get(name)]
            kind = str(block.body.get("type", ""))
            if kind in {"any", "${any}"}:
                missing.append("a type that says something")
            validated = bool(block.body.get("validation"))
            if not validated and not (kind in {"bool", "${bool}"} and block.body.get("nullable") is False):
                missing.append("validation")
            yield expect(block.subject, not missing, f"it lacks {', '.join(missing)}")


def outputs_are_explained(sources: Sources) -> Iterator[Judgement]:
    """Each output has a description."""
    for folder in sources.folders:
        for block in folder.blocks("output"):
            yield expect(block.subject, bool(block.body.get("description")), "it lacks a description")


def no_wildcard_is_written(sources: Sources) -> Iterator[Judgement]:
    """Policy documents are written as `aws_iam_policy_document`, and no statement of them allows a whole service."""
    for folder in sources.folders:
        for block in folder.resources("data"):
            if block.label.startswith("aws_iam_policy_document."):
                faults = [fault for body in _statements(block.body) if (fault := _wildcard(folder, body))]
                yield expect(block.subject, not faults, "; ".join(faults))
        for block in folder.resources():
            for path, value in walk(block.body):
                if isinstance(value, str) and re.search(r"\bStatement\b[\\\"']*\s*[=:]\s*[\[{]", value):
                    yield broken(
                        block.subject, f"{'.'.join(path)} writes a policy by hand; write an aws_iam_policy_document"
                    )


def records_are_protected(sources: Sources) -> Iterator[Judgement]:
    """The buckets of evidence, trail and state are made by the bucket module, which refuses to destroy them."""
    wanted = settings().record_purposes | {"state"}
    seen: set[str] = set()
    for folder in sources.folders:
        if folder.name == "modules/bucket":
            protected = [
                block
                for block in folder.resources()
                if block.label.startswith("aws_s3_bucket.")
                and any(item.get("prevent_destroy") is True for item in block.body.get("lifecycle", ()))
            ]
            yield expect(folder.name, len(protected) == 1, "no bucket in it has prevent_destroy")
        else:
            for block in folder.resources():
                if block.label.startswith("aws_s3_bucket."):
                    yield broken(block.subject, "it does not come from the bucket module, so nothing protects it")
        for call in folder.blocks("module"):
            if str(call.body.get("source", "")).endswith("/bucket"):
                purposes = _purposes(folder, call)
                seen |= purposes or set()
                yield _protected(call, purposes, wanted)
    for purpose in sorted(wanted - seen):
        yield broken(f"purpose {purpose}", "no bucket has this purpose")


def nothing_runs_on_the_side(sources: Sources) -> Iterator[Judgement]:
    """No provisioner, no external program, no null resource: applying does what the plan shows."""
    for folder in sources.folders:
        fault = None
        for block in [*folder.resources(), *folder.resources("data")]:
            kind = block.label.partition(".")[0]
            if kind in _FORBIDDEN:
                fault = f"{block.label} runs what no plan shows"
            if any(key in _RUNS_CODE for path, _ in walk(block.body) for key in path[-1:]):
                fault = f"{block.label} has a provisioner"
            if any(item.get("ignore_changes") in ("all", "${all}") for item in block.body.get("lifecycle", ())):
                fault = f"{block.label} ignores every change, so it drifts unseen"
        yield expect(folder.name, fault is None, fault or "")


def _default_tags(folder: Folder, provider: Block) -> Judgement:
    blocks = provider.body.get("default_tags", ())
    tags = folder.resolve(blocks[0].get("tags")) if blocks else None
    if tags is UNRESOLVED:
        return unknown(provider.subject, "its default tags can't be told from the folder")
    names = set(tags) if isinstance(tags, Mapping) else set()
    missing = sorted(settings().required_tags - names)
    empty = sorted(name for name in settings().required_tags & names if tags[name] in (None, ""))  # type: ignore[index]
    return expect(provider.subject, not missing and not empty, f"it does not tag {', '.join(missing + empty)}")


def _statements(body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from body.get("statement", ())
    for item in body.get("dynamic", ()):
        if "statement" in item:
            yield from item["statement"].get("content", ())


def _wildcard(folder: Folder, statement: Mapping[str, Any]) -> str | None:
    effect = folder.resolve(statement.get("effect", "Allow"))
    if effect == "Deny":
        return None
    if "not_actions" in statement or "not_resources" in statement:
        return "it allows everything but some"
    actions = folder.resolve(statement.get("actions"))
    for action in actions if isinstance(actions, list) else []:
        if isinstance(action, str) and (action == "*" or action.endswith(":*") or action.startswith("*")):
            return f"it allows {action}"
    principals = [folder.resolve(item.get("identifiers")) for item in statement.get("principals", ())]
    if any(isinstance(names, list) and "*" in names for names in principals) and not statement.get("condition"):
        return "it allows everybody"
    return None


def _purposes(folder: Folder, call: Block) -> set[str] | None:
    """The purposes that a call of the bucket module makes buckets for; None where the folder does not decide it."""
    purpose = folder.resolve(call.body.get("purpose"))
    if isinstance(purpose, str):
        return {purpose}
    if call.body.get("purpose") == "${each.key}":
        name = re.fullmatch(r"\$\{local\.([\w-]+)\}", str(call.body.get("for_each", "")))
        every = folder.locals.get(name.group(1)) if name else None
        if isinstance(every, Mapping):
            return set(every)
    return None


def _protected(call: Block, purposes: set[str] | None, wanted: frozenset[str]) -> Judgement:
    if purposes is None:
        return unknown(call.subject, "what its bucket is for can't be told from the folder")
    if purposes & wanted and call.body.get("protected") is not True:
        return broken(call.subject, f"a bucket of {', '.join(sorted(purposes & wanted))} is not protected")
    return kept(call.subject)


def _bounded(version: Any) -> bool:
    return (
        isinstance(version, str) and _BOUNDED.fullmatch(version.strip()) is not None and not version.startswith(">= 0")
    )


def _is_secret(name: str) -> bool:
    return bool(_SECRET_NAME.search(name)) and not name.startswith(("http_", "iam_", "manage_", "rotate_"))


def _has_text(folder: Folder, value: Any) -> bool:
    found = folder.resolve(value)
    if found is UNRESOLVED:
        # An expression with a text in it: only names of things, no text, may make up a secret.
        return bool(re.search(r'"[^"$]{4,}"', str(value)))
    return isinstance(found, str) and found != ""


def _shorten(match: re.Match[str] | None) -> str:
    return f"{match.group(0)[:8]}…" if match else ""


RULES: Iterable[Rule[Sources]] = (
    Rule(
        "SRC-01",
        "Versions are pinned",
        "The same sources make the same plan next year.",
        ("ISO 27001:2022 A.8.9", "ISO 27001:2022 A.8.32"),
        _ITSELF,
        versions_are_pinned,
    ),
    Rule(
        "SRC-02",
        "State is remote, encrypted and locked",
        "State on somebody's disk is lost or leaked, and two applies at once break it.",
        ("ISO 27001:2022 A.8.9", "ISO 27001:2022 A.8.24"),
        _ITSELF,
        state_is_remote,
    ),
    Rule(
        "SRC-03",
        "No secret is written",
        "What is in git is read by everybody, for ever.",
        ("ISO 27001:2022 A.5.17",),
        _ITSELF,
        no_secret_is_written,
    ),
    Rule(
        "SRC-04",
        "Everything is tagged by default",
        "Nobody has to remember.",
        ("ISO 27001:2022 A.5.9",),
        "terraform/policies/settings.yaml: required_tags",
        tags_by_default,
    ),
    Rule(
        "SRC-05",
        "Variables are typed, described and validated",
        "A wrong value is refused with a sentence, before AWS refuses it with a code.",
        ("ISO 27001:2022 A.8.9",),
        _ITSELF,
        variables_are_explained,
    ),
    Rule(
        "SRC-06",
        "Outputs are described",
        "Outputs are the contract with the platform.",
        ("ISO 27001:2022 A.8.9",),
        _ITSELF,
        outputs_are_explained,
    ),
    Rule(
        "SRC-07",
        "No wildcard is written",
        "A plan can hide a wildcard behind a value that is not known yet; the source can't.",
        ("CIS AWS 3.0 1.16", "ISO 27001:2022 A.5.15"),
        _ITSELF,
        no_wildcard_is_written,
    ),
    Rule(
        "SRC-08",
        "Evidence, trail and state can't be destroyed",
        "Terraform itself refuses, whoever asks it.",
        ("EU AI Act art. 18", "ISO 27001:2022 A.5.33"),
        "terraform/policies/settings.yaml: record_purposes",
        records_are_protected,
    ),
    Rule(
        "SRC-09",
        "Nothing runs on the side",
        "What is reviewed is the plan; nothing else may happen.",
        ("ISO 27001:2022 A.8.32",),
        _ITSELF,
        nothing_runs_on_the_side,
    ),
)
