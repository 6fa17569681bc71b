"""Rules on what can be reached: from the internet, without TLS, or past the network's own watch."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from typing import Any

from terraform.policies.documents import DocumentError, parse
from terraform.policies.estate import UNKNOWN, Estate, Resource
from terraform.policies.rules import Judgement, Rule, Verdict, broken, expect, kept, unknown

_SET = "the resource itself"
_SMALL = 256
# `is_private` of the standard library calls 0.0.0.0/0 private, since both its ends are reserved.
_PRIVATE = tuple(ipaddress.ip_network(item) for item in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"))
_BLOCKS = ("block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets")


def buckets_block_the_public(estate: Estate) -> Iterator[Judgement]:
    """Each bucket has all four public access blocks."""
    for bucket in estate.of_type("aws_s3_bucket"):
        found = estate.companions(bucket, "aws_s3_bucket_public_access_block", "bucket", "bucket", "id")
        if not found:
            yield broken(bucket.subject, "no public access block belongs to it")
        for block in found:
            values = {name: block.value(name) for name in _BLOCKS}
            if any(value is UNKNOWN for value in values.values()):
                yield unknown(bucket.subject, "its public access block is known only after apply")
            else:
                open_ones = [name for name, value in values.items() if value is not True]
                yield expect(bucket.subject, not open_ones, f"{', '.join(open_ones)} is not set")


def buckets_want_tls(estate: Estate) -> Iterator[Judgement]:
    """Each bucket's policy denies everything to everybody without TLS."""
    for bucket in estate.of_type("aws_s3_bucket"):
        found = estate.companions(bucket, "aws_s3_bucket_policy", "bucket", "bucket", "id")
        if not found:
            yield broken(bucket.subject, "no bucket policy belongs to it")
        for policy in found:
            text = policy.value("policy")
            if text is UNKNOWN:
                yield unknown(bucket.subject, "its policy is known only after apply")
            else:
                yield _denies_plain_http(bucket, str(text))


def databases_are_private(estate: Estate) -> Iterator[Judgement]:
    """No database has a public address."""
    for database in estate.of_type("aws_db_instance"):
        public = database.value("publicly_accessible")
        if public is UNKNOWN:
            yield unknown(database.subject, "publicly_accessible is known only after apply")
        else:
            yield expect(database.subject, public is not True, "it has a public address")


def cluster_api_is_private(estate: Estate) -> Iterator[Judgement]:
    """The Kubernetes API is reached from the network, and from outside at most by named small ranges."""
    for cluster in estate.of_type("aws_eks_cluster"):
        settings = ("vpc_config", 0)
        private = cluster.value(*settings, "endpoint_private_access")
        public = cluster.value(*settings, "endpoint_public_access")
        ranges = cluster.value(*settings, "public_access_cidrs")
        if UNKNOWN in (private, public):
            yield unknown(cluster.subject, "how its API is reached is known only after apply")
        elif private is not True:
            yield broken(cluster.subject, "its API has no private endpoint")
        elif public is False:
            yield kept(cluster.subject)
        elif ranges is UNKNOWN or (isinstance(ranges, list) and UNKNOWN in ranges):
            yield unknown(cluster.subject, "who reaches its public endpoint is known only after apply")
        else:
            wide = [str(item) for item in ranges or ["0.0.0.0/0"] if _is_wide(item)]
            yield expect(cluster.subject, not wide, f"its public endpoint is open to {', '.join(wide)}")


def nothing_listens_to_the_world(estate: Estate) -> Iterator[Judgement]:
    """No security group lets traffic in from everywhere, in whichever of the four ways it is written."""
    for group in estate.of_type("aws_security_group", "aws_default_security_group"):
        yield _worst(group, [_ranges(block, "cidr_blocks", "ipv6_cidr_blocks") for block in group.blocks("ingress")])
    for rule in estate.of_type("aws_security_group_rule"):
        if rule.value("type") == "egress":
            continue
        yield _worst(rule, [_ranges(rule.values, "cidr_blocks", "ipv6_cidr_blocks")])
    for rule in estate.of_type("aws_vpc_security_group_ingress_rule"):
        yield _worst(rule, [_ranges(rule.values, "cidr_ipv4", "cidr_ipv6")])


def default_group_is_closed(estate: Estate) -> Iterator[Judgement]:
    """Each network's default security group is taken over and has no rule."""
    for network in estate.of_type("aws_vpc"):
        found = estate.companions(network, "aws_default_security_group", "vpc_id", "id")
        if not found:
            yield broken(network.subject, "its default security group is as AWS makes it, open within")
        for group in found:
            rules = [*_configured(group, "ingress"), *_configured(group, "egress")]
            if any(rule is UNKNOWN for rule in rules):
                yield unknown(network.subject, "the rules of its default security group are known only after apply")
            else:
                yield expect(network.subject, not rules, "its default security group has a rule")


def subnets_give_no_public_address(estate: Estate) -> Iterator[Judgement]:
    """No subnet hands out public addresses."""
    for subnet in estate.of_type("aws_subnet"):
        public = subnet.value("map_public_ip_on_launch")
        if public is UNKNOWN:
            yield unknown(subnet.subject, "map_public_ip_on_launch is known only after apply")
        else:
            yield expect(subnet.subject, public is not True, "it gives every instance a public address")


def networks_are_watched(estate: Estate) -> Iterator[Judgement]:
    """Each network has a flow log of all traffic."""
    for network in estate.of_type("aws_vpc"):
        found = estate.companions(network, "aws_flow_log", "vpc_id", "id")
        if not found:
            yield broken(network.subject, "no flow log belongs to it")
        for log in found:
            kind = log.value("traffic_type")
            if kind is UNKNOWN:
                yield unknown(network.subject, "what its flow log records is known only after apply")
            else:
                yield expect(network.subject, kind == "ALL", f"its flow log records {kind}, not ALL")


def _denies_plain_http(bucket: Resource, text: str) -> Judgement:
    try:
        statements = parse(text)
    except DocumentError as error:
        return broken(bucket.subject, f"its policy can't be read: {error}")
    arn = f"arn:aws:s3:::{bucket.value('bucket')}"
    for item in statements:
        if (
            not item.allows
            and set(item.principals) & {("*", "*"), ("AWS", "*")}
            and set(item.actions) & {"*", "s3:*"}
            and {arn, f"{arn}/*"} <= set(item.resources)
            and item.conditions == (("Bool", "aws:SecureTransport", ("false",)),)
        ):
            return kept(bucket.subject)
    return broken(bucket.subject, "no statement denies everything to everybody without TLS")


def _configured(resource: Resource, name: str) -> list[Any]:
    return [block for block in resource.blocks(name) if block is UNKNOWN or block]


def _ranges(block: Any, *names: str) -> list[Any]:
    if block is UNKNOWN:
        return [UNKNOWN]
    found: list[Any] = []
    for name in names:
        value = block.get(name)
        found.extend(value if isinstance(value, list) else [value])
    return [value for value in found if value is not None]


def _worst(resource: Resource, blocks: list[list[Any]]) -> Judgement:
    ranges = [item for block in blocks for item in block]
    wide = [item for item in ranges if item is not UNKNOWN and _is_wide(item)]
    if wide:
        return broken(resource.subject, f"it lets in {wide[0]}")
    if any(item is UNKNOWN for item in ranges):
        return unknown(resource.subject, "whom it lets in is known only after apply")
    return Judgement(resource.subject, Verdict.KEPT)


def _is_wide(cidr: Any) -> bool:
    """Whether a range is public and larger than 256 addresses; one that can't be read is."""
    try:
        network = ipaddress.ip_network(str(cidr), strict=False)
    except ValueError:
        return True
    private = any(network.version == own.version and network.subnet_of(own) for own in _PRIVATE)  # type: ignore[arg-type]
    return not private and network.num_addresses > _SMALL


RULES: Iterable[Rule[Estate]] = (
    Rule(
        "EXP-01",
        "Buckets block public access",
        "No later policy or list can open a bucket to everybody.",
        ("CIS AWS 3.0 2.1.4", "ISO 27001:2022 A.8.3"),
        _SET,
        buckets_block_the_public,
    ),
    Rule(
        "EXP-02",
        "Buckets want TLS",
        "Data is never sent in the clear, whoever asks.",
        ("CIS AWS 3.0 2.1.1", "ISO 27001:2022 A.8.24"),
        _SET,
        buckets_want_tls,
    ),
    Rule(
        "EXP-03",
        "Databases are private",
        "A leaked password alone opens nothing.",
        ("CIS AWS 3.0 2.2.3", "ISO 27001:2022 A.8.20"),
        _SET,
        databases_are_private,
    ),
    Rule(
        "EXP-04",
        "The Kubernetes API is private",
        "A leaked token alone opens nothing.",
        ("ISO 27001:2022 A.8.20",),
        _SET,
        cluster_api_is_private,
    ),
    Rule(
        "EXP-05",
        "Nothing listens to the whole internet",
        "What nobody can reach, nobody can attack.",
        ("CIS AWS 3.0 5.2", "CIS AWS 3.0 5.3", "ISO 27001:2022 A.8.20"),
        _SET,
        nothing_listens_to_the_world,
    ),
    Rule(
        "EXP-06",
        "The default security group is closed",
        "What forgets its own security group is unreachable rather than open.",
        ("CIS AWS 3.0 5.4", "ISO 27001:2022 A.8.22"),
        _SET,
        default_group_is_closed,
    ),
    Rule(
        "EXP-07",
        "Subnets give no public address",
        "Nodes and pods are reached through the network only.",
        ("ISO 27001:2022 A.8.22",),
        _SET,
        subnets_give_no_public_address,
    ),
    Rule(
        "EXP-08",
        "Networks have flow logs",
        "After an incident it can be told who talked to whom.",
        ("CIS AWS 3.0 3.7", "ISO 27001:2022 A.8.15"),
        _SET,
        networks_are_watched,
    ),
)
