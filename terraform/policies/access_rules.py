"""Rules on identity: what policies let through, who may take a role, and that environments keep to themselves."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from terraform.policies.authored import IDENTITY, RESOURCE, TRUST, Document, documents, documents_of
from terraform.policies.documents import Statement
from terraform.policies.estate import UNKNOWN, Estate, Resource
from terraform.policies.rules import Judgement, Rule, broken, expect, kept, unknown
from terraform.policies.settings import environments, settings
from terraform.policies.trust import trust_fault

_SET = "terraform/policies/settings.yaml"
_ITSELF = "the resource itself"

# What binds roles is in policies: whoever can change those is bound by nothing, so they have to be denied to him.
_BINDING_CHANGES = frozenset({"iam:createpolicyversion", "iam:setdefaultpolicyversion"})
_ROLE_CHANGES = frozenset(
    {"iam:attachrolepolicy", "iam:createrole", "iam:putrolepolicy", "iam:putrolepermissionsboundary"}
)

_EVERYTHING = re.compile(r"\*|arn:aws:(\*|[a-z0-9-]+:[^:]*:[^:]*:\*)")
# What binds a statement for everybody, or for a service in whoever's name it acts.
_BINDING = (
    "aws:PrincipalAccount",
    "aws:PrincipalArn",
    "aws:SourceAccount",
    "aws:SourceArn",
    "kms:CallerAccount",
    "kms:EncryptionContext:aws:logs:arn",
)


def nothing_is_everything(estate: Estate) -> Iterator[Judgement]:
    """No statement allows every action, every action of a service on everything, or everything but some."""
    return _each(estate, {**IDENTITY, **RESOURCE}, _too_wide)


def trust_names_its_subject(estate: Estate) -> Iterator[Judgement]:
    """Each role can be taken by an exact service, an exact role or user under a condition, or one token subject."""

    def check(document: Document, statement: Statement) -> str | None:
        return trust_fault(statement, only_reads=document.resource.value("tags", "workload") == "plan")

    return _each(estate, TRUST, check)


def environments_keep_apart(estate: Estate) -> Iterator[Judgement]:
    """No document names another account or another environment's resources, but for the crossings that are declared."""
    context = estate.context
    own = f"{context.project}-{context.environment}"
    others = "|".join(sorted(re.escape(name) for name in environments() - {context.environment})) or "$^"
    foreign = re.compile(rf"\b{re.escape(context.project)}-({others})\b")

    def check(document: Document, statement: Statement) -> str | None:
        crossing = {item.action for item in settings().crossings if item.resource == document.resource.type}
        if crossing and set(statement.actions) <= crossing:
            return None
        named = [*statement.resources, *statement.not_resources, *(name for _, name in statement.principals)]
        named += [value for _, _, values in statement.conditions for value in values]
        for text in named:
            accounts = set(re.findall(r"(?<![0-9])[0-9]{12}(?![0-9])", text)) - {context.account_id}
            if accounts:
                return f"it names the account {accounts.pop()}, which is not this environment's"
            if foreign.search(text):
                return f"it names {foreign.search(text).group(0)}, not {own}"  # type: ignore[union-attr]
        return _open_to_all(document, statement)

    return _each(estate, {**IDENTITY, **RESOURCE, **TRUST}, check)


def roles_are_bounded(estate: Estate) -> Iterator[Judgement]:
    """Each role has a permission boundary."""
    for role in estate.of_type("aws_iam_role"):
        boundary = role.value("permissions_boundary")
        if boundary is UNKNOWN:
            yield unknown(role.subject, "its boundary is known only after apply")
        else:
            bounded = re.fullmatch(r"arn:aws:iam::[0-9]{12}:policy/.+", str(boundary or ""))
            yield expect(role.subject, bool(bounded), f"its permission boundary is {boundary!r}, not a policy of ours")


def planning_only_reads(estate: Estate) -> Iterator[Judgement]:
    """What is attached to a role that only plans allows nothing but reading."""
    for role in estate.of_type("aws_iam_role"):
        workload = role.value("tags", "workload")
        if workload is UNKNOWN:
            yield unknown(role.subject, "whether it is a role that plans is known only after apply")
        elif workload == "plan":
            yield from _only_reads(estate, role)


def roles_cannot_grow(estate: Estate) -> Iterator[Judgement]:
    """Nobody can hand roles on freely, or make or change a role but under a boundary."""

    for document in documents(estate, IDENTITY):
        if document.problem:
            yield document.problem
            continue
        faults = [fault for item in document.statements if item.allows and (fault := _growth(item))]
        faults += _unbinding(document.statements)
        bounds = _is_boundary(estate, document.resource) if faults else None
        if faults and bounds is UNKNOWN:
            yield unknown(document.resource.subject, "whether it bounds or grants is known only after apply")
        else:
            yield expect(document.resource.subject, not faults or bool(bounds), "; ".join(faults))


def managed_policies_are_chosen(estate: Estate) -> Iterator[Judgement]:
    """AWS's own policies are attached only where the settings name them; they grow without our asking."""
    for attachment in estate.of_type("aws_iam_role_policy_attachment", "aws_iam_policy_attachment"):
        arn = attachment.value("policy_arn")
        if arn is UNKNOWN:
            yield unknown(attachment.subject, "which policy it attaches is known only after apply")
        else:
            ours = re.fullmatch(r"arn:aws:iam::[0-9]{12}:policy/.+", str(arn)) or arn in settings().managed_policies
            yield expect(attachment.subject, bool(ours), f"it attaches {arn}, which the settings do not name")
    for role in estate.of_type("aws_iam_role"):
        for arn in role.blocks("managed_policy_arns"):
            if arn is not UNKNOWN and arn not in settings().managed_policies:
                yield broken(role.subject, f"it attaches {arn}, which the settings do not name")


def nobody_has_a_password(estate: Estate) -> Iterator[Judgement]:
    """There are roles, and neither users nor access keys."""
    for role in estate.of_type("aws_iam_role"):
        yield kept(role.subject)
    for found in estate.of_type("aws_iam_user", "aws_iam_access_key", "aws_iam_user_login_profile"):
        yield broken(found.subject, "it is a credential that lasts; a role gives one for an hour")


def policies_fit(estate: Estate) -> Iterator[Judgement]:
    """No document is longer than AWS takes; a plan would not say so."""
    for kind, most in settings().policy_characters.items():
        for resource in estate.of_type(kind):
            text = resource.value("policy")
            if text is UNKNOWN:
                yield unknown(resource.subject, "its policy is known only after apply")
            else:
                length = len(re.sub(r"\s", "", str(text)))
                yield expect(resource.subject, length <= most, f"its policy has {length} characters; AWS takes {most}")


def _each(
    estate: Estate, kinds: dict[str, str], check: Callable[[Document, Statement], str | None]
) -> Iterator[Judgement]:
    """One judgement for each document: unreadable and unknown ones fail."""
    for document in documents(estate, kinds):
        if document.problem:
            yield document.problem
            continue
        faults = [fault for item in document.statements if (fault := check(document, item))]
        where = f"{document.kind}: " if document.kind != "policy" else ""
        yield expect(document.resource.subject, not faults, where + "; ".join(faults))


def _too_wide(document: Document, statement: Statement) -> str | None:
    if not statement.allows:
        return None
    if statement.not_actions:
        return "it allows everything but some actions"
    if statement.not_resources:
        return "it allows everything but some resources"
    for action in statement.actions:
        service, _, verb = action.partition(":")
        if service == "*" or set(service) & {"*", "?"}:
            return f"it allows {action}"
        everything = not statement.resources or any(_EVERYTHING.fullmatch(name) for name in statement.resources)
        if verb.strip("*?") == "" and (everything or document.resource.type in RESOURCE):
            return f"it allows {action} on everything"
    return None


def _open_to_all(document: Document, statement: Statement) -> str | None:
    if not statement.allows or document.resource.type not in RESOURCE:
        return None
    if statement.not_principals:
        return "it allows everybody but some"
    everybody = {("*", "*"), ("AWS", "*")} & set(statement.principals)
    service = next((name for kind, name in statement.principals if kind == "Service"), None)
    if not everybody and not service:
        return None
    bound = [statement.condition_values(key, "StringEquals", "ArnEquals", "ArnLike") for key in _BINDING]
    if any(values and not any(_EVERYTHING.fullmatch(value) for value in values) for values in bound):
        return None
    return "it allows everybody of every account" if everybody else f"it allows {service} in whoever's name it acts"


def _only_reads(estate: Estate, role: Resource) -> Iterator[Judgement]:
    found = False
    for document in documents_of(estate, role):
        found = True
        yield _reads(role, document)
    if not found:
        yield unknown(role.subject, "no policy of it can be found")


def _reads(role: Resource, document: Document) -> Judgement:
    if document.problem:
        return Judgement(role.subject, document.problem.verdict, document.problem.message)
    allowed = [action for item in document.statements if item.allows for action in item.actions]
    writes = [action for action in allowed if not _is_read(action)]
    writes += ["everything but some" for item in document.statements if item.allows and item.not_actions]
    return expect(role.subject, not writes, f"it plans and yet may {', '.join(writes)}")


def _is_read(action: str) -> bool:
    verb = action.partition(":")[2]
    return action in settings().read_actions or verb.startswith(settings().read_verbs)


def _growth(statement: Statement) -> str | None:
    for action in statement.actions:
        covered = {name for name in {*_ROLE_CHANGES, "iam:passrole"} if _matches(action, name)}
        if "iam:passrole" in covered and not statement.condition_values("iam:PassedToService", "StringEquals"):
            return f"{action} lets it hand a role to any service"
        if covered & _ROLE_CHANGES and not statement.condition_values("iam:PermissionsBoundary", "StringEquals"):
            return f"{action} lets it make or change a role without a boundary"
        if covered and "*" in statement.resources:
            return f"{action} reaches every role of the account"
    return "it allows everything but some actions" if statement.not_actions else None


def _unbinding(statements: Iterable[Statement]) -> list[str]:
    """The changes of policies that a document allows, and does not deny for the boundaries."""
    denied = {
        name
        for item in statements
        if not item.allows and not item.conditions and any(arn.endswith("-boundary") for arn in item.resources)
        for action in item.actions
        for name in _BINDING_CHANGES
        if _matches(action, name)
    }
    return [
        f"{action} lets it change the boundaries"
        for item in statements
        if item.allows
        for action in item.actions
        if any(_matches(action, name) and name not in denied for name in _BINDING_CHANGES)
    ]


def _is_boundary(estate: Estate, policy: Resource) -> Any:
    """Whether a policy bounds and grants nothing: its name says so, and nobody has it attached. `UNKNOWN` where it is
    not known yet what is attached."""
    if policy.type != "aws_iam_policy" or not str(policy.value("name")).endswith("-boundary"):
        return False
    attached = [found.value("policy_arn") for found in estate.of_type("aws_iam_role_policy_attachment")]
    if policy.value("arn") is UNKNOWN or any(found is UNKNOWN for found in attached):
        return UNKNOWN
    return policy.value("arn") not in attached


def _matches(pattern: str, action: str) -> bool:
    escaped = re.escape(pattern.lower()).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(escaped, action) is not None


RULES: Iterable[Rule[Estate]] = (
    Rule(
        "IAM-01",
        "No policy allows everything",
        "Least privilege starts with saying what is needed.",
        ("CIS AWS 3.0 1.16", "ISO 27001:2022 A.5.15"),
        _ITSELF,
        nothing_is_everything,
    ),
    Rule(
        "IAM-02",
        "Each role can be taken by one subject",
        "A trust that ends at an account, a repository or a cluster is everybody's in it.",
        ("ISO 27001:2022 A.5.16", "ISO 27001:2022 A.8.2"),
        _ITSELF,
        trust_names_its_subject,
    ),
    Rule(
        "IAM-03",
        "Environments do not reach into each other",
        "Staging is where things may go wrong; production is not.",
        ("ISO 27001:2022 A.8.31",),
        f"{_SET}: crossings",
        environments_keep_apart,
    ),
    Rule(
        "IAM-04",
        "Each role has a permission boundary",
        "A mistaken policy grants at most what the boundary lets through.",
        ("ISO 27001:2022 A.8.2",),
        _ITSELF,
        roles_are_bounded,
    ),
    Rule(
        "IAM-05",
        "A role that plans can't write",
        "Anybody's pull request runs with it.",
        ("ISO 27001:2022 A.8.2", "ISO 27001:2022 A.8.4"),
        f"{_SET}: read_verbs, read_actions",
        planning_only_reads,
    ),
    Rule(
        "IAM-06",
        "Nobody can give himself more",
        "Who can make a role without a boundary can do everything.",
        ("ISO 27001:2022 A.8.2",),
        _ITSELF,
        roles_cannot_grow,
    ),
    Rule(
        "IAM-07",
        "AWS's own policies are attached only where named",
        "They grow without our asking.",
        ("ISO 27001:2022 A.5.18",),
        f"{_SET}: managed_policies",
        managed_policies_are_chosen,
    ),
    Rule(
        "IAM-08",
        "There are no users and no access keys",
        "A credential that lasts leaks once and for all.",
        ("CIS AWS 3.0 1.15", "ISO 27001:2022 A.5.17"),
        _ITSELF,
        nobody_has_a_password,
    ),
    Rule(
        "IAM-09",
        "No policy is longer than AWS takes",
        "The apply would fail half way, and neither plan nor mock would have said so.",
        ("ISO 27001:2022 A.8.9",),
        f"{_SET}: policy_characters",
        policies_fit,
    ),
)
