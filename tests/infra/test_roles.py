"""What each role can really do: over HTTP with its own credentials, and by evaluating what the state records.

moto enforces no policy that has a condition, a tag or a boundary in it. What decides here is `tests.infra.enforcement`
in front of moto: the policies that moto was given, evaluated by `terraform.policies.evaluation`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from http import HTTPStatus

import pytest
from botocore.exceptions import ClientError

from terraform.policies.access_matrix import STRANGER, can_delete, can_read, can_write, matrix, models, roles, stores
from terraform.policies.documents import parse
from terraform.policies.evaluation import Target, allowed, assumable
from tests.infra import offline
from tests.infra.platform import SECOND_MODEL, Platform

# One worker applies the platform, for every file that looks at it.
pytestmark = [pytest.mark.xdist_group("platform"), pytest.mark.long]

OWN = "orders"
# What each kind of role may do, by purpose of the bucket. Whatever is not here it may not.
READS = {"service": {"mlflow"}, "training": {"data", "mlflow", "zenml"}, "monitoring": {"predictions"}}
WRITES = {
    "service": {"predictions"},
    "training": {"evidence", "mlflow", "reports", "zenml"},
    "monitoring": {"reports"},
}
PURPOSES = ("data", "evidence", "mlflow", "predictions", "reports", "zenml")
SUBJECTS = {
    "service": "system:serviceaccount:bakehouse-{environment}:{model}-bento",
    "training": "system:serviceaccount:bakehouse-{environment}-training:training-{model}",
    "monitoring": "system:serviceaccount:bakehouse-{environment}-training:monitoring-{model}",
}


@pytest.mark.parametrize("environment", offline.ENVIRONMENTS)
@pytest.mark.parametrize("workload", ["service", "training", "monitoring"])
def test_a_role_reads_and_writes_its_own_models_data_and_nobody_elses(
    workload: str, environment: str, platforms: dict[str, Platform]
) -> None:
    platform = platforms[environment]
    storage = platform.client("s3", **_credentials(platform, workload, OWN))
    for purpose in PURPOSES:
        bucket = f"{platform.name}-{purpose}-{platform.account}"
        for model in (OWN, SECOND_MODEL):
            platform.client("s3").put_object(Bucket=bucket, Key=f"{model}/probe", Body=b"there")
            may_read = model == OWN and purpose in READS[workload]
            may_write = model == OWN and purpose in WRITES[workload]
            key = {"Bucket": bucket, "Key": f"{model}/probe"}
            assert _works(partial(storage.get_object, **key)) is may_read, (purpose, model)
            assert _works(partial(storage.put_object, **key, Body=b"")) is may_write, (purpose, model)
            assert not _works(partial(storage.delete_object, **key)), (purpose, model)


def test_a_service_lists_its_own_artifacts_and_not_those_of_another(platforms: dict[str, Platform]) -> None:
    platform = platforms["production"]
    storage = platform.client("s3", **_credentials(platform, "service", OWN))
    bucket = f"{platform.name}-mlflow-{platform.account}"
    assert _works(lambda: storage.list_objects_v2(Bucket=bucket, Prefix=f"{OWN}/1/"))
    assert not _works(lambda: storage.list_objects_v2(Bucket=bucket, Prefix=f"{SECOND_MODEL}/"))
    assert not _works(lambda: storage.list_objects_v2(Bucket=bucket))


@pytest.mark.parametrize(
    ("subject", "audience"),
    [
        (f"system:serviceaccount:bakehouse-staging:{SECOND_MODEL}-bento", "sts.amazonaws.com"),
        (f"system:serviceaccount:default:{OWN}-bento", "sts.amazonaws.com"),
        (f"system:serviceaccount:bakehouse-staging:{OWN}-bento", "somebody-else"),
    ],
)
def test_a_token_of_another_subject_or_for_another_audience_takes_no_role(
    subject: str, audience: str, platforms: dict[str, Platform]
) -> None:
    platform = platforms["staging"]
    role = platform.outputs("identity")["service_role_arns"][OWN]
    with pytest.raises(ClientError, match="AccessDenied"):
        platform.take_role(role, platform.outputs("cluster")["oidc"]["issuer"], subject, audience)


@pytest.mark.parametrize(
    ("role", "subject", "may"),
    [
        ("apply", "repo:bakehouse/bakehouse:environment:production:ref:refs/heads/main", True),
        ("apply", "repo:bakehouse/bakehouse:environment:production:ref:refs/heads/topic", False),
        ("apply", "repo:bakehouse/bakehouse:environment:staging:ref:refs/heads/main", False),
        ("apply", "repo:bakehouse/bakehouse:environment:production-plan:ref:refs/pull/7/merge", False),
        ("apply", "repo:somebody/bakehouse:environment:production:ref:refs/heads/main", False),
        ("apply", "repo:bakehouse/bakehouse:ref:refs/heads/main", False),
        ("plan", "repo:bakehouse/bakehouse:environment:production-plan:ref:refs/pull/7/merge", True),
        ("plan", "repo:bakehouse/bakehouse:environment:production-plan:ref:refs/heads/main", True),
        ("plan", "repo:somebody/bakehouse:environment:production-plan:ref:refs/pull/7/merge", False),
        ("plan", "repo:bakehouse/bakehouse:environment:production-plan:ref:refs/heads/topic", False),
    ],
)
def test_a_workflow_takes_a_role_only_from_its_repository_environment_and_branch(
    role: str, subject: str, may: bool, platforms: dict[str, Platform]
) -> None:
    platform = platforms["production"]
    arn = platform.outputs("identity")["github_role_arns"][role]
    assert _works(lambda: platform.take_role(arn, "token.actions.githubusercontent.com", subject)) is may


@pytest.mark.parametrize(
    ("environment", "subject", "may"),
    [
        ("staging", "repo:bakehouse/bakehouse:environment:training:ref:refs/heads/main", True),
        ("staging", "repo:bakehouse/bakehouse:environment:training:ref:refs/heads/topic", False),
        ("staging", "repo:bakehouse/bakehouse:environment:training:ref:refs/pull/7/merge", False),
        ("staging", "repo:bakehouse/bakehouse:environment:promotion:ref:refs/heads/main", False),
        ("staging", "repo:somebody/bakehouse:environment:training:ref:refs/heads/main", False),
        ("production", "repo:bakehouse/bakehouse:environment:training:ref:refs/heads/main", False),
    ],
)
def test_the_workflow_that_trains_takes_a_training_role_only_where_the_values_let_it(
    environment: str, subject: str, may: bool, platforms: dict[str, Platform]
) -> None:
    platform = platforms[environment]
    arn = platform.outputs("identity")["training_role_prefix"] + OWN
    assert arn == platform.outputs("identity")["training_role_arns"][OWN]
    assert _works(lambda: platform.take_role(arn, "token.actions.githubusercontent.com", subject)) is may


def test_break_glass_wants_a_named_person_and_an_incident(platforms: dict[str, Platform]) -> None:
    platform = platforms["production"]
    role = next(found for found in roles(platform.recorded) if found.name == "break-glass")
    person = f"arn:aws:iam::{platform.account}:role/sso/platform-on-call"

    def may(who: str, session: str) -> bool:
        return assumable(role.trust, "AWS", who, "sts:AssumeRole", {"sts:RoleSessionName": session}).allowed

    assert may(person, "incident-42")
    assert not may(f"arn:aws:iam::{platform.account}:role/sso/developer", "incident-42")
    assert not may(person, "curiosity")


@pytest.mark.parametrize("environment", offline.ENVIRONMENTS)
def test_the_workflow_that_applies_can_not_change_what_binds_it(
    environment: str, platforms: dict[str, Platform]
) -> None:
    platform = platforms[environment]
    apply = next(found for found in roles(platform.recorded) if found.name == "github-apply").principal
    here = f"arn:aws:iam::{platform.account}"
    workload = f"{here}:policy/{platform.name}/workload-boundary"

    def may(action: str, what: str, **context: str) -> bool:
        return allowed(apply, action, Target(f"{here}:{what}", platform.account), context).allowed

    assert may("iam:CreatePolicyVersion", f"policy/{platform.name}/{platform.name}-service")
    for name in ("workload-boundary", "platform-boundary", f"{platform.name}-github-named"):
        assert not may("iam:CreatePolicyVersion", f"policy/{platform.name}/{name}")
    role = f"role/{platform.name}/{platform.name}-service-new"
    assert may("iam:CreateRole", role, **{"iam:PermissionsBoundary": workload})
    assert not may("iam:CreateRole", role)
    assert not may(
        "iam:AttachRolePolicy", f"role/{platform.name}/github-apply", **{"iam:PermissionsBoundary": workload}
    )


@pytest.mark.parametrize("environment", offline.ENVIRONMENTS)
def test_administrators_can_give_each_key_its_alias(environment: str, platforms: dict[str, Platform]) -> None:
    estate = platforms[environment].recorded
    aliases = [found.value("target_key_arn") for found in estate.of_type("aws_kms_alias")]
    policies = {found.value("arn"): parse(found.value("policy")) for found in estate.of_type("aws_kms_key")}
    assert aliases and set(aliases) <= set(policies)
    account = f"arn:aws:iam::{platforms[environment].account}:root"
    for arn in aliases:
        assert assumable(policies[arn], "AWS", account, "kms:CreateAlias", {}).allowed, arn


@pytest.mark.parametrize("environment", offline.ENVIRONMENTS)
def test_the_access_matrix_says_what_the_roles_can_do(environment: str, platforms: dict[str, Platform]) -> None:
    for access in matrix(platforms[environment].recorded):
        if access.workload not in READS:
            continue
        own = access.role.endswith(f"-{access.model}")
        assert access.read == (own and access.purpose in READS[access.workload]), access
        assert access.write == (own and access.purpose in WRITES[access.workload]), access
        assert not access.delete, access


@pytest.mark.parametrize("environment", offline.ENVIRONMENTS)
def test_nobody_can_delete_evidence_and_only_the_tracking_server_can_delete_anything(
    environment: str, platforms: dict[str, Platform]
) -> None:
    estate = platforms[environment].recorded
    deleting = {
        (role.workload, store.purpose)
        for role in roles(estate)
        for store in stores(estate)
        for model in (*models(estate), STRANGER)
        if can_delete(role, store, model)
    }
    assert deleting == {("tracking", "mlflow")}


def test_no_role_of_staging_can_touch_production(platforms: dict[str, Platform]) -> None:
    staging, production = platforms["staging"].recorded, platforms["production"].recorded
    for role in roles(staging):
        for store in stores(production):
            for model in models(production):
                assert not can_read(production, role, store, model), (role.name, store.name)
                assert not can_write(production, role, store, model), (role.name, store.name)


def test_a_workflow_that_plans_sees_the_state_and_no_data(platforms: dict[str, Platform]) -> None:
    platform = platforms["production"]
    estate = platform.recorded
    plan = next(found for found in roles(estate) if found.name == "github-plan")
    readable = {store.purpose for store in stores(estate) if can_read(estate, plan, store, OWN)}
    assert readable == set(), "no object but the state's own"
    state = next(store for store in stores(estate) if store.purpose == "state")
    item = type(state.target)(f"{state.target.arn}/storage.tfstate", state.target.account, policy=state.target.policy)
    assert allowed(plan.principal, "s3:GetObject", item).allowed
    assert not allowed(plan.principal, "s3:PutObject", item).allowed


def _credentials(platform: Platform, workload: str, model: str) -> dict[str, str]:
    role = platform.outputs("identity")[f"{workload}_role_arns"][model]
    issuer = platform.outputs("cluster")["oidc"]["issuer"]
    subject = SUBJECTS[workload].format(environment=platform.environment, model=model)
    return platform.take_role(role, issuer, subject)


def _works(act: Callable[[], object]) -> bool:
    """Whether a call is let through; any failure but a refusal is passed on."""
    try:
        act()
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != HTTPStatus.FORBIDDEN:
            raise
        return False
    return True
