"""Who can read, write and delete which model's data, found by evaluating the policies that a state records.

Reading an object takes `s3:GetObject` and `kms:Decrypt` on the bucket's key; writing takes `s3:PutObject` and
`kms:GenerateDataKey`. Nothing here is taken from prose, names or intentions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from terraform.policies import authored
from terraform.policies.documents import parse
from terraform.policies.estate import Estate, Resource
from terraform.policies.evaluation import Principal, Statements, Target, allowed

# A model that no role is tagged with: whoever reaches its data reaches every model's.
STRANGER = "a-model-of-nobody"


@dataclass(frozen=True)
class Role:
    """A role of the estate as the evaluation sees it. `opaque` names the policies attached to it that AWS keeps."""

    name: str
    workload: str
    model: str
    principal: Principal
    trust: Statements
    opaque: tuple[str, ...]


@dataclass(frozen=True)
class Store:
    """A bucket and the key that its objects are encrypted with; no key where S3's own is used."""

    purpose: str
    name: str
    data_class: str
    target: Target
    key: Target | None


@dataclass(frozen=True)
class Access:
    """What one role can do with one model's data in one bucket; None where AWS keeps a policy of it unevaluated."""

    role: str
    workload: str
    purpose: str
    model: str
    read: bool | None
    write: bool | None
    delete: bool | None


def roles(estate: Estate) -> tuple[Role, ...]:
    """All roles of a recorded estate. Needs a state: a plan does not know the ARNs yet."""
    policies = {found.value("arn"): parse(found.value("policy")) for found in estate.of_type("aws_iam_policy")}
    return tuple(_role(estate, role, policies) for role in estate.of_type("aws_iam_role"))


def stores(estate: Estate) -> tuple[Store, ...]:
    """All buckets of a recorded estate."""
    keys = {found.value("arn"): parse(found.value("policy")) for found in estate.of_type("aws_kms_key")}
    return tuple(sorted((_store(estate, bucket, keys) for bucket in estate.of_type("aws_s3_bucket")), key=_by_purpose))


def models(estate: Estate) -> tuple[str, ...]:
    """The models that the estate has a place for."""
    return tuple(sorted(str(found.value("tags", "model")) for found in estate.of_type("aws_ecr_repository")))


def matrix(estate: Estate) -> Iterator[Access]:
    """Every role on every model's data in every bucket, and on the data of a model that nobody has."""
    for role in roles(estate):
        for store in stores(estate):
            for model in (*models(estate), STRANGER):
                yield _access(estate, role, store, model)


def can_read(estate: Estate, role: Role, store: Store, model: str) -> bool:
    """Whether a role can read an object under a model's name."""
    return _both(estate, role, store, model, "s3:GetObject", "kms:Decrypt")


def can_write(estate: Estate, role: Role, store: Store, model: str) -> bool:
    """Whether a role can write an object under a model's name."""
    return _both(estate, role, store, model, "s3:PutObject", "kms:GenerateDataKey")


def can_delete(role: Role, store: Store, model: str) -> bool:
    """Whether a role can delete an object under a model's name, or one of its versions."""
    item = _object(store, model)
    return any(
        allowed(role.principal, action, item).allowed for action in ("s3:DeleteObject", "s3:DeleteObjectVersion")
    )


def _access(estate: Estate, role: Role, store: Store, model: str) -> Access:
    hidden = bool(role.opaque)
    return Access(
        role.name,
        role.workload,
        store.purpose,
        model,
        can_read(estate, role, store, model) or (None if hidden else False),
        can_write(estate, role, store, model) or (None if hidden else False),
        can_delete(role, store, model) or (None if hidden else False),
    )


def _both(estate: Estate, role: Role, store: Store, model: str, action: str, key_action: str) -> bool:
    if not allowed(role.principal, action, _object(store, model)).allowed:
        return False
    if store.key is None:
        return True
    through_s3 = {
        "kms:ViaService": f"s3.{estate.context.region}.amazonaws.com",
        "kms:CallerAccount": estate.context.account_id,
    }
    return allowed(role.principal, key_action, store.key, through_s3).allowed


def _object(store: Store, model: str) -> Target:
    return Target(f"{store.target.arn}/{model}/probe", store.target.account, policy=store.target.policy)


def _role(estate: Estate, role: Resource, policies: Mapping[str, Statements]) -> Role:
    name, arn = str(role.value("name")), str(role.value("arn"))
    statements: list[Statements] = [
        parse(inline.value("policy"))
        for inline in estate.of_type("aws_iam_role_policy")
        if inline.value("role") == name
    ]
    statements += [parse(block["policy"]) for block in role.blocks("inline_policy") if block.get("policy")]
    attached = {str(arn) for _, arn in authored.attached(estate, role)}
    statements += [policies[arn] for arn in sorted(attached & policies.keys())]
    tags = {str(key): str(value) for key, value in (role.value("tags_all") or {}).items()}
    boundary = role.value("permissions_boundary")
    return Role(
        name=name,
        workload=tags.get("workload", ""),
        model=tags.get("model", ""),
        principal=Principal(
            arn=arn,
            tags=tags,
            policies=tuple(item for document in statements for item in document),
            boundary=policies.get(boundary, ()) if boundary else None,
        ),
        trust=parse(role.value("assume_role_policy")),
        opaque=tuple(sorted(attached - policies.keys())),
    )


def _store(estate: Estate, bucket: Resource, keys: Mapping[str, Statements]) -> Store:
    name = str(bucket.value("bucket"))
    account = estate.context.account_id
    policy = next(
        (
            parse(found.value("policy"))
            for found in estate.of_type("aws_s3_bucket_policy")
            if found.value("bucket") == name
        ),
        (),
    )
    key_arn = next(
        (
            found.value("rule", 0, "apply_server_side_encryption_by_default", 0, "kms_master_key_id")
            for found in estate.of_type("aws_s3_bucket_server_side_encryption_configuration")
            if found.value("bucket") == name
        ),
        None,
    )
    return Store(
        purpose=str(bucket.value("tags", "purpose")),
        name=name,
        data_class=str(bucket.value("tags", "data-class")),
        target=Target(f"arn:aws:s3:::{name}", account, policy=policy),
        key=Target(key_arn, account, policy=keys.get(key_arn, ())) if key_arn else None,
    )


def _by_purpose(store: Store) -> tuple[str, str]:
    return store.purpose, store.name
