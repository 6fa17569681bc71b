"""Rules on what has to be still there later: records, versions, logs, backups, and the names that find them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from terraform.policies.estate import UNKNOWN, Estate, Resource
from terraform.policies.rules import Judgement, Rule, broken, expect, kept, unknown
from terraform.policies.settings import settings

_SET = "terraform/policies/settings.yaml"
_ITSELF = "the resource itself"


def records_are_locked(estate: Estate) -> Iterator[Judgement]:
    """Each bucket of records has an object lock for as long as the settings say."""
    for bucket in estate.of_type("aws_s3_bucket"):
        purpose = bucket.value("tags", "purpose")
        if purpose is UNKNOWN:
            yield unknown(bucket.subject, "whether it holds records is known only after apply")
        elif purpose in settings().record_purposes:
            yield _locked(estate, bucket)


def buckets_keep_versions(estate: Estate) -> Iterator[Judgement]:
    """Each bucket keeps the versions of its objects."""
    for bucket in estate.of_type("aws_s3_bucket"):
        found = estate.companions(bucket, "aws_s3_bucket_versioning", "bucket", "bucket", "id")
        if not found:
            yield broken(bucket.subject, "no versioning belongs to it")
        for versioning in found:
            status = versioning.value("versioning_configuration", 0, "status")
            if status is UNKNOWN:
                yield unknown(bucket.subject, "whether it keeps versions is known only after apply")
            else:
                yield expect(bucket.subject, status == "Enabled", f"its versioning is {status}")


def buckets_log_access(estate: Estate) -> Iterator[Judgement]:
    """Each bucket sends its access logs to another, but for those that others send theirs to."""
    logs = list(estate.of_type("aws_s3_bucket_logging"))
    targets = {log.value("target_bucket") for log in logs} - {UNKNOWN, None}
    for bucket in estate.of_type("aws_s3_bucket"):
        found = estate.companions(bucket, "aws_s3_bucket_logging", "bucket", "bucket", "id")
        if found and found[0].value("target_bucket") is UNKNOWN:
            yield unknown(bucket.subject, "where its access logs go is known only after apply")
        elif found:
            own = found[0].value("target_bucket") == bucket.value("bucket")
            yield expect(bucket.subject, not own, "it logs its access into itself, for ever")
        else:
            target = bucket.value("bucket") in targets
            yield expect(bucket.subject, target, "its access is not logged")


def the_trail_is_whole(estate: Estate) -> Iterator[Judgement]:
    """The audit trail covers every region, proves itself unchanged, and records objects of the data's buckets."""
    buckets = list(estate.of_type("aws_s3_bucket"))
    for trail in estate.of_type("aws_cloudtrail"):
        values = {name: trail.value(name) for name in ("is_multi_region_trail", "enable_log_file_validation")}
        on = trail.value("enable_logging")  # it is where nothing is said
        if UNKNOWN in (*values.values(), on):
            yield unknown(trail.subject, "what it covers is known only after apply")
            continue
        for name, value in values.items():
            if value is not True:
                yield broken(trail.subject, f"{name} is not set")
        if on is False:
            yield broken(trail.subject, "it is switched off")
        yield from _records(trail, buckets)


def databases_are_kept(estate: Estate) -> Iterator[Judgement]:
    """Each database can be restored, leaves a last snapshot, and can't be deleted where the settings say so."""
    least = settings().backup_days
    for database in estate.of_type("aws_db_instance"):
        days = database.value("backup_retention_period")
        protected = database.value("deletion_protection")
        last = database.value("skip_final_snapshot")
        if UNKNOWN in (days, protected, last):
            yield unknown(database.subject, "how it is kept is known only after apply")
        elif not isinstance(days, int) or days < least:
            yield broken(database.subject, f"it can be restored for {days} days, not {least}")
        elif last is not False:
            yield broken(database.subject, "it leaves no last snapshot")
        else:
            wanted = estate.context.environment in settings().deletion_protection
            yield expect(database.subject, protected is True or not wanted, "it can be deleted")


def images_are_final(estate: Estate) -> Iterator[Judgement]:
    """Each image repository has immutable tags, scans on push, and is not emptied by being destroyed."""
    for repository in estate.of_type("aws_ecr_repository"):
        mutability = repository.value("image_tag_mutability")
        scan = repository.value("image_scanning_configuration", 0, "scan_on_push")
        force = repository.value("force_delete")
        if UNKNOWN in (mutability, scan, force):
            yield unknown(repository.subject, "how it keeps images is known only after apply")
        elif mutability != "IMMUTABLE":
            yield broken(repository.subject, "a tag can be moved to another image")
        elif scan is not True:
            yield broken(repository.subject, "images are not scanned when they are pushed")
        else:
            yield expect(repository.subject, force is not True, "destroying it deletes its images")


def logs_are_kept(estate: Estate) -> Iterator[Judgement]:
    """Each log group is kept for as long as the settings say, and not for ever."""
    least = settings().log_days
    for group in estate.of_type("aws_cloudwatch_log_group"):
        days = group.value("retention_in_days")
        if days is UNKNOWN:
            yield unknown(group.subject, "for how long it is kept is known only after apply")
        else:
            yield expect(
                group.subject, bool(days) and days >= least, f"it is kept for {days or 'ever'}, not {least} days"
            )


def the_cluster_tells(estate: Estate) -> Iterator[Judgement]:
    """Each cluster's control plane logs everything it can."""
    wanted = settings().control_plane_logs
    for cluster in estate.of_type("aws_eks_cluster"):
        kinds = cluster.value("enabled_cluster_log_types")
        if kinds is UNKNOWN or (isinstance(kinds, list) and UNKNOWN in kinds):
            yield unknown(cluster.subject, "what it logs is known only after apply")
        else:
            missing = sorted(wanted - set(kinds or ()))
            yield expect(cluster.subject, not missing, f"it does not log {', '.join(missing)}")


def everything_is_tagged(estate: Estate) -> Iterator[Judgement]:
    """Everything that takes tags has the required ones."""
    for resource in estate.resources:
        if "tags_all" not in resource.values:
            continue
        tags = resource.value("tags_all")
        if tags is UNKNOWN:
            yield unknown(resource.subject, "its tags are known only after apply")
        else:
            missing = sorted(name for name in settings().required_tags if not (tags or {}).get(name))
            yield expect(resource.subject, not missing, f"it lacks the tag {', '.join(missing)}")


def every_kind_is_known(estate: Estate) -> Iterator[Judgement]:
    """Nothing is of a kind that no rule was ever written or thought for."""
    for resource in estate.resources:
        yield expect(resource.subject, resource.type in settings().known_types, f"no rule knows a {resource.type}")


def _locked(estate: Estate, bucket: Resource) -> Judgement:
    least = settings().record_days
    if bucket.value("object_lock_enabled") is UNKNOWN:
        return unknown(bucket.subject, "whether it takes an object lock is known only after apply")
    if bucket.value("object_lock_enabled") is not True:
        return broken(bucket.subject, "it takes no object lock, and never will: that is decided when it is made")
    found = estate.companions(bucket, "aws_s3_bucket_object_lock_configuration", "bucket", "bucket", "id")
    if not found:
        return broken(bucket.subject, "no object lock belongs to it")
    default = ("rule", 0, "default_retention", 0)
    mode, days, years = (found[0].value(*default, name) for name in ("mode", "days", "years"))
    if UNKNOWN in (mode, days, years):
        return unknown(bucket.subject, "for how long it locks is known only after apply")
    locked = (days or 0) + (years or 0) * 365
    if mode not in {"GOVERNANCE", "COMPLIANCE"}:
        return broken(bucket.subject, f"its object lock has the mode {mode}")
    return expect(bucket.subject, locked >= least, f"it locks for {locked} days, not {least}")


def _records(trail: Resource, buckets: list[Resource]) -> Iterator[Judgement]:
    recorded: set[str] = set()
    for index, selector in enumerate(trail.blocks("event_selector")):
        if selector is UNKNOWN:
            yield unknown(trail.subject, "which buckets it records is known only after apply")
            return
        if selector.get("read_write_type") != "All":
            continue
        if selector.get("include_management_events") is False:
            yield broken(trail.subject, "it does not record who changes the account's resources")
        for number, _ in enumerate(trail.value("event_selector", index, "data_resource") or ()):
            values = trail.value("event_selector", index, "data_resource", number, "values")
            recorded |= {str(value) for value in values} if isinstance(values, list) else set()
    missing = []
    for bucket in buckets:
        if (
            bucket.value("tags", "purpose") in settings().recorded_purposes
            and not {
                f"arn:aws:s3:::{bucket.value('bucket')}/",
                "arn:aws:s3",
            }
            & recorded
        ):
            missing.append(str(bucket.value("bucket")))
    if missing:
        yield broken(trail.subject, f"it does not record who reads and writes {', '.join(missing)}")
    else:
        yield kept(trail.subject)


RULES: Iterable[Rule[Estate]] = (
    Rule(
        "REC-01",
        "Records can't be changed or deleted",
        "The evidence that let a release in is worth something only while nobody can rewrite it.",
        ("EU AI Act art. 12", "EU AI Act art. 19", "ISO 27001:2022 A.5.33"),
        f"{_SET}: record_purposes, record_days",
        records_are_locked,
    ),
    Rule(
        "REC-02",
        "Buckets keep versions",
        "What is overwritten or deleted by mistake comes back.",
        ("ISO 27001:2022 A.8.13",),
        _ITSELF,
        buckets_keep_versions,
    ),
    Rule(
        "REC-03",
        "Access to buckets is logged",
        "After a leak it can be told what was taken.",
        ("CIS AWS 3.0 3.4", "ISO 27001:2022 A.8.15"),
        _ITSELF,
        buckets_log_access,
    ),
    Rule(
        "REC-04",
        "The audit trail is whole and records who touches the data",
        "Who read which model's data has to be answerable for six months.",
        ("CIS AWS 3.0 3.1", "CIS AWS 3.0 3.2", "CIS AWS 3.0 3.8", "CIS AWS 3.0 3.9", "EU AI Act art. 19"),
        f"{_SET}: recorded_purposes",
        the_trail_is_whole,
    ),
    Rule(
        "REC-05",
        "Databases can be restored and are hard to delete",
        "The registry's history is in one of them.",
        ("ISO 27001:2022 A.8.13",),
        f"{_SET}: backup_days, deletion_protection",
        databases_are_kept,
    ),
    Rule(
        "REC-06",
        "Images are final",
        "A release names an image; it must be that image for ever.",
        ("EU AI Act art. 12", "ISO 27001:2022 A.8.8"),
        _ITSELF,
        images_are_final,
    ),
    Rule(
        "REC-07",
        "Logs are kept, and not for ever",
        "Too short loses the trace; for ever keeps what should be forgotten.",
        ("EU AI Act art. 19", "ISO 27001:2022 A.8.15", "ISO 27001:2022 A.8.10"),
        f"{_SET}: log_days",
        logs_are_kept,
    ),
    Rule(
        "REC-08",
        "The cluster's control plane logs everything",
        "Who changed what in the cluster is in its audit log and nowhere else.",
        ("ISO 27001:2022 A.8.15",),
        f"{_SET}: control_plane_logs",
        the_cluster_tells,
    ),
    Rule(
        "TAG-01",
        "Everything has the required tags",
        "Cost, owner and environment are found by tag, and so is what nobody owns.",
        ("ISO 27001:2022 A.5.9",),
        f"{_SET}: required_tags",
        everything_is_tagged,
    ),
    Rule(
        "TAG-02",
        "Every kind of resource is one that the rules know",
        "A rule says nothing of a kind that nobody thought of, and saying nothing looks like being in order.",
        ("ISO 27001:2022 A.5.9",),
        f"{_SET}: known_types",
        every_kind_is_known,
    ),
)
