"""The whole platform of both environments, really applied to a moto server each: made once, and shared by all tests."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from terraform.policies.estate import Estate, read_plans, read_states
from tests.infra import offline
from tests.waiting import eventually

ACCOUNTS = {"staging": "111111111111", "production": "222222222222"}
REGION = "eu-central-1"
# A model that only the tests have, so that there is always another one to be denied.
SECOND_MODEL = "second-model"
APPLY_SECONDS = 600

Answer = TypeVar("Answer")


@dataclass
class Platform:
    """One environment: its AWS, its working copy, and what Terraform showed of every root applied so far."""

    environment: str
    endpoint: str
    terraform: offline.Terraform
    plans: dict[str, dict[str, Any]] = field(default_factory=dict)
    states: dict[str, dict[str, Any]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def account(self) -> str:
        return ACCOUNTS[self.environment]

    @property
    def name(self) -> str:
        return f"bakehouse-{self.environment}"

    @property
    def planned(self) -> Estate:
        return read_plans(self.plans)

    @property
    def recorded(self) -> Estate:
        return read_states(self.states, self.planned.context)

    def outputs(self, root: str) -> dict[str, Any]:
        """The outputs of a root, by name."""
        return {name: output["value"] for name, output in self.states[root]["values"]["outputs"].items()}

    def client(self, service: str, **credentials: str) -> Any:
        """A boto3 client: Terraform's own, or a role's where its credentials are given."""
        keys = credentials or {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=REGION,
            config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}),
            **keys,
        )

    def take_role(self, arn: str, issuer: str, subject: str, audience: str = "sts.amazonaws.com") -> dict[str, str]:
        """Credentials of a role, for a token of an issuer about a subject. Raises `ClientError` where it may not."""
        claims = {"iss": f"https://{issuer}", "sub": subject, "aud": audience}
        token = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode() for part in ({}, claims, {}))
        answer = self.client("sts").assume_role_with_web_identity(
            RoleArn=arn, RoleSessionName="test", WebIdentityToken=token
        )
        return {
            "aws_access_key_id": answer["Credentials"]["AccessKeyId"],
            "aws_secret_access_key": answer["Credentials"]["SecretAccessKey"],
            "aws_session_token": answer["Credentials"]["SessionToken"],
        }

    def plan(self, root: str) -> None:
        """Initialise and plan a root."""
        arguments = () if self._keeps_local_state(root) else offline.backend_arguments(self.environment, self.endpoint)
        offline.point_at_moto(self.terraform, root, self.endpoint, local_state=self._keeps_local_state(root))
        self.terraform.run(root, "init", *arguments)
        self._timed(
            f"plan {root}",
            lambda: self.terraform.run(
                root, "plan", "-out=plan.bin", *offline.values(self.environment, root), verify=True
            ),
        )

    def apply(self, root: str) -> None:
        """Apply the plan of a root. The state of the first goes into its bucket."""
        self._timed(f"apply {root}", lambda: self.terraform.run(root, "apply", "-parallelism=30", "plan.bin"))
        if self._keeps_local_state(root):
            offline.point_at_moto(self.terraform, root, self.endpoint)
            arguments = offline.backend_arguments(self.environment, self.endpoint)
            self.terraform.run(root, "init", "-migrate-state", "-force-copy", *arguments)

    def show_plan(self, root: str) -> None:
        """Keep what the plan shows."""
        self.plans[root] = self.terraform.show(root, "plan.bin")

    def show_state(self, root: str) -> None:
        """Keep what the state shows after the apply."""
        self.states[root] = self.terraform.show(root)

    def drift(self, root: str) -> dict[str, list[str]]:
        """What a second plan of a root would change: addresses, each with the attributes that it is for."""
        self._timed(
            f"second plan {root}",
            lambda: self.terraform.run(root, "plan", "-out=second.bin", *offline.values(self.environment, root)),
        )
        return {
            change["address"]: sorted(_differences(change["change"]))
            for change in self.terraform.show(root, "second.bin")["resource_changes"]
            if change["mode"] == "managed" and change["change"]["actions"] != ["no-op"]
        }

    def destroy(self, root: str) -> None:
        """Destroy everything of a root."""
        self._timed(
            f"destroy {root}",
            lambda: self.terraform.run(
                root, "destroy", "-auto-approve", "-parallelism=30", *offline.values(self.environment, root)
            ),
        )

    @staticmethod
    def _keeps_local_state(root: str) -> bool:
        """Bootstrap makes the bucket that the state is kept in, so its own begins on disk."""
        return root == "bootstrap"

    def _timed(self, what: str, act: Callable[[], Answer]) -> Answer:
        started = time.monotonic()
        answer = act()
        self.seconds[what] = round(time.monotonic() - started, 1)
        return answer


@contextmanager
def started(environment: str, folder: Path) -> Iterator[Platform]:
    """An environment with nothing in it yet."""
    folder.mkdir(parents=True)
    with offline.aws(ACCOUNTS[environment], folder / "moto.log") as endpoint:
        terraform = offline.working_copy(folder / "copy", endpoint=endpoint)
        room = terraform.folder.parent / "bentos" / SECOND_MODEL
        room.mkdir()
        (room / "problem.yaml").write_text(f"model: {SECOND_MODEL}\n")
        yield Platform(environment, endpoint, terraform)


def apply_in_order(platform: Platform, roots: tuple[str, ...] = offline.ROOTS) -> None:
    """Plan and apply roots, each as soon as those it reads from are there. Bootstrap waits a minute for S3 to settle
    its bucket; what needs only the bucket does not wait for that."""
    done: dict[str, Future[None]] = {}
    shown: list[Future[None]] = []

    def run(root: str) -> None:
        for upstream in offline.UPSTREAM[root]:
            done[upstream].result()
        if root != "bootstrap":
            _wait_for_state_bucket(platform, done["bootstrap"])
        platform.plan(root)
        shown.append(beside.submit(platform.show_plan, root))  # while the apply waits for AWS
        platform.apply(root)
        shown.append(beside.submit(platform.show_state, root))

    with ThreadPoolExecutor(1) as beside:
        with ThreadPoolExecutor(len(roots)) as pool:
            for root in roots:
                done[root] = pool.submit(run, root)
            for future in done.values():
                future.result()
        for future in shown:
            future.result()


def destroy_in_order(platform: Platform) -> None:
    """Take an environment down as docs/how-to/terraform.md says: forget what must outlive it (evidence, the trail, the
    access logs of both, and the keys that open them), empty the other buckets, lift what protects the databases, and
    destroy the rest, each root before what it stands on. Bootstrap stays: its bucket holds the states."""
    for root, module in (
        ("storage", "module.evidence"),
        ("foundation", "module.trail.module.bucket"),
        ("foundation", "module.access_logs"),
        ("foundation", 'module.key["artifacts"]'),
        ("foundation", 'module.key["logs"]'),
    ):
        platform.terraform.run(root, "state", "rm", module)
    for purpose in ("data", "mlflow", "predictions", "reports", "zenml"):
        _empty(platform, f"{platform.name}-{purpose}-{platform.account}")
    databases = platform.client("rds")
    for instance in databases.describe_db_instances()["DBInstances"]:
        databases.modify_db_instance(
            DBInstanceIdentifier=instance["DBInstanceIdentifier"], DeletionProtection=False, ApplyImmediately=True
        )
    platform.destroy("observability")
    platform.destroy("identity")
    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(platform.destroy, root) for root in ("storage", "cluster")]:
            future.result()
    platform.destroy("foundation")


def remains(platform: Platform) -> set[str]:
    """What is left of an environment: its buckets, databases, clusters, keys' aliases and roles, by name."""
    roles = platform.client("iam").list_roles()["Roles"]
    aliases = platform.client("kms").list_aliases()["Aliases"]
    return {
        *(bucket["Name"] for bucket in platform.client("s3").list_buckets()["Buckets"]),
        *(found["DBInstanceIdentifier"] for found in platform.client("rds").describe_db_instances()["DBInstances"]),
        *platform.client("eks").list_clusters()["clusters"],
        *(role["RoleName"] for role in roles),
        *(alias["AliasName"] for alias in aliases if not alias["AliasName"].startswith("alias/aws/")),
    }


def _empty(platform: Platform, bucket: str) -> None:
    storage = platform.client("s3")
    listed = storage.list_object_versions(Bucket=bucket)
    for item in [*listed.get("Versions", ()), *listed.get("DeleteMarkers", ())]:
        storage.delete_object(Bucket=bucket, Key=item["Key"], VersionId=item["VersionId"])


def in_parallel(platforms: Mapping[str, Platform], act: Callable[[Platform], Answer]) -> dict[str, Answer]:
    """Do the same in every environment at once: most of the time is the provider's waiting."""
    with ThreadPoolExecutor(len(platforms)) as pool:
        futures = {name: pool.submit(act, platform) for name, platform in platforms.items()}
        return {name: future.result() for name, future in futures.items()}


def _wait_for_state_bucket(platform: Platform, bootstrap: Future[None]) -> None:
    storage, bucket = platform.client("s3"), f"{platform.name}-state-{platform.account}"

    def there() -> bool:
        if bootstrap.done():
            bootstrap.result()
        try:
            storage.head_bucket(Bucket=bucket)
        except ClientError:
            return False
        return True

    eventually(f"bootstrap makes the bucket {bucket}", there, APPLY_SECONDS)


def _differences(change: Mapping[str, Any]) -> Iterator[str]:
    """The attributes that a change is made for: known after it, and not what they were. What is known only after apply
    follows from another; nothing, an empty list and an empty map are the same."""
    before, after, later = change["before"] or {}, change["after"] or {}, change["after_unknown"] or {}
    for name in {*before, *after}:
        if later.get(name) is not True and not _alike(before.get(name), after.get(name), later.get(name)):
            yield name


def _alike(before: Any, after: Any, later: Any) -> bool:
    if later is True:
        return True
    if isinstance(before, dict) or isinstance(after, dict):
        one, other, unknown = before or {}, after or {}, later or {}
        return all(_alike(one.get(key), other.get(key), unknown.get(key)) for key in {*one, *other})
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        rest = [*(later or []), *[False] * len(before)]
        return all(_alike(*three) for three in zip(before, after, rest, strict=False))
    return before == after or (not before and not after)
