"""Rules on encryption at rest: everything under a key of ours, and the keys rotated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from terraform.policies.estate import UNKNOWN, Estate, Resource
from terraform.policies.rules import Judgement, Rule, broken, expect, kept, unknown

_SET = "the resource itself"


def buckets_under_a_key(estate: Estate) -> Iterator[Judgement]:
    """Each bucket is encrypted by KMS by default; only one of access logs, where S3 supports none, by S3's own key."""
    log_targets = {log.value("target_bucket") for log in estate.of_type("aws_s3_bucket_logging")} - {UNKNOWN}
    for bucket in estate.of_type("aws_s3_bucket"):
        found = estate.companions(
            bucket, "aws_s3_bucket_server_side_encryption_configuration", "bucket", "bucket", "id"
        )
        if not found:
            yield broken(bucket.subject, "no default encryption belongs to it")
            continue
        for configuration in found:
            default = ("rule", 0, "apply_server_side_encryption_by_default", 0)
            algorithm = configuration.value(*default, "sse_algorithm")
            key = configuration.value(*default, "kms_master_key_id")
            if UNKNOWN in (algorithm, key):
                yield unknown(bucket.subject, "its encryption or its key is known only after apply")
            elif algorithm == "AES256" and bucket.value("bucket") in log_targets:
                yield kept(bucket.subject, "a target of access logs, for which S3 supports no KMS key")
            else:
                ours = algorithm in {"aws:kms", "aws:kms:dsse"} and str(key or "").startswith("arn:aws:kms:")
                yield expect(bucket.subject, ours, f"encrypted by {algorithm} with the key {key}, not by a key of ours")


def rotates(estate: Estate) -> Iterator[Judgement]:
    """Each KMS key is rotated every year by AWS."""
    return _attribute(estate, "aws_kms_key", lambda key: _is(key, True, "enable_key_rotation"))


def databases_under_a_key(estate: Estate) -> Iterator[Judgement]:
    """Each database's storage is encrypted by a key of ours, and so is its master user's secret."""

    def check(database: Resource) -> Judgement:
        encrypted = _is(database, True, "storage_encrypted")
        if not encrypted.kept:
            return encrypted
        if database.value("manage_master_user_password") is not True:
            return broken(database.subject, "RDS does not manage its password, so somebody else holds it")
        storage = _is_key(database, "kms_key_id")
        return _is_key(database, "master_user_secret_kms_key_id") if storage.kept else storage

    return _attribute(estate, "aws_db_instance", check)


def repositories_under_a_key(estate: Estate) -> Iterator[Judgement]:
    """Each image repository is encrypted by a key of ours."""
    return _attribute(
        estate, "aws_ecr_repository", lambda repository: _is_key(repository, "encryption_configuration", 0, "kms_key")
    )


def cluster_secrets_under_a_key(estate: Estate) -> Iterator[Judgement]:
    """Kubernetes secrets are encrypted by a key of ours."""

    def check(cluster: Resource) -> Judgement:
        resources = cluster.value("encryption_config", 0, "resources")
        if resources is UNKNOWN:
            return unknown(cluster.subject, "what is encrypted is known only after apply")
        if "secrets" not in (resources or ()):
            return broken(cluster.subject, "its secrets are not encrypted by a key")
        return _is_key(cluster, "encryption_config", 0, "provider", 0, "key_arn")

    return _attribute(estate, "aws_eks_cluster", check)


def nodes_under_a_key(estate: Estate) -> Iterator[Judgement]:
    """Each node's disk is encrypted by a key of ours, and its instance metadata wants a session token."""

    def check(template: Resource) -> Judgement:
        tokens = _is(template, "required", "metadata_options", 0, "http_tokens")
        if not tokens.kept:
            return tokens
        disks = template.blocks("block_device_mappings")
        if not disks:
            return broken(template.subject, "it has no disk of its own, so the image's unencrypted one is used")
        for index, disk in enumerate(disks):
            if disk is UNKNOWN:
                return unknown(template.subject, "its disks are known only after apply")
            encrypted = template.value("block_device_mappings", index, "ebs", 0, "encrypted")
            if encrypted is UNKNOWN:
                return unknown(template.subject, "whether its disk is encrypted is known only after apply")
            if str(encrypted).lower() != "true":
                return broken(template.subject, "its disk is not encrypted")
            key = _is_key(template, "block_device_mappings", index, "ebs", 0, "kms_key_id")
            if not key.kept:
                return key
        return kept(template.subject)

    return _attribute(estate, "aws_launch_template", check)


def logs_under_a_key(estate: Estate) -> Iterator[Judgement]:
    """Log groups, alarm topics and the audit trail are encrypted by a key of ours."""
    attributes = {
        "aws_cloudwatch_log_group": "kms_key_id",
        "aws_sns_topic": "kms_master_key_id",
        "aws_cloudtrail": "kms_key_id",
    }
    for resource in estate.of_type(*attributes):
        yield _is_key(resource, attributes[resource.type])


def _attribute(estate: Estate, kind: str, check: Callable[[Resource], Judgement]) -> Iterator[Judgement]:
    return (check(resource) for resource in estate.of_type(kind))


def _is(resource: Resource, wanted: Any, *path: str | int) -> Judgement:
    found = resource.value(*path)
    where = ".".join(str(step) for step in path)
    if found is UNKNOWN:
        return unknown(resource.subject, f"{where} is known only after apply")
    return expect(resource.subject, found == wanted, f"{where} is {found!r}, not {wanted!r}")


def _is_key(resource: Resource, *path: str | int) -> Judgement:
    found = resource.value(*path)
    where = ".".join(str(step) for step in path)
    if found is UNKNOWN:
        return unknown(resource.subject, f"{where} is known only after apply")
    return expect(
        resource.subject,
        str(found or "").startswith("arn:aws:kms:"),
        f"{where} is {found!r}, not the ARN of a KMS key",
    )


RULES: Iterable[Rule[Estate]] = (
    Rule(
        "ENC-01",
        "Buckets are encrypted by a KMS key of ours",
        "Whoever may read a bucket must also be let use its key, so one mistaken bucket policy opens nothing.",
        ("ISO 27001:2022 A.8.24",),
        _SET,
        buckets_under_a_key,
    ),
    Rule(
        "ENC-02",
        "KMS keys are rotated",
        "What one stolen key can read is bounded by a year.",
        ("CIS AWS 3.0 3.6", "ISO 27001:2022 A.8.24"),
        _SET,
        rotates,
    ),
    Rule(
        "ENC-03",
        "Databases are encrypted by a key of ours, and RDS keeps their password",
        "Snapshots and copies stay unreadable elsewhere, and no file or state holds the password.",
        ("CIS AWS 3.0 2.2.1", "ISO 27001:2022 A.8.24"),
        _SET,
        databases_under_a_key,
    ),
    Rule(
        "ENC-04",
        "Image repositories are encrypted by a key of ours",
        "An image holds the model.",
        ("ISO 27001:2022 A.8.24",),
        _SET,
        repositories_under_a_key,
    ),
    Rule(
        "ENC-05",
        "Kubernetes secrets are encrypted by a key of ours",
        "A copy of the cluster's database is not a copy of its secrets.",
        ("ISO 27001:2022 A.8.24",),
        _SET,
        cluster_secrets_under_a_key,
    ),
    Rule(
        "ENC-06",
        "Nodes have encrypted disks and guarded metadata",
        "Training data lies on the nodes' disks, and the metadata service hands out the node's role.",
        ("CIS AWS 3.0 5.6", "ISO 27001:2022 A.8.24"),
        _SET,
        nodes_under_a_key,
    ),
    Rule(
        "ENC-07",
        "Logs, alarms and the audit trail are encrypted by a key of ours",
        "Logs tell who does what; reading them is a right of its own.",
        ("CIS AWS 3.0 3.5", "ISO 27001:2022 A.8.15"),
        _SET,
        logs_under_a_key,
    ),
)
