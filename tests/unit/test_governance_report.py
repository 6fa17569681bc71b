"""The commands and the page: they say what was found, fail when they must, and show nothing as in order unseen."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bakehouse.errors import ConfigurationError
from terraform.policies.commands import app
from terraform.policies.costs import monthly_costs
from terraform.policies.estate import Context, Estate, Resource
from terraform.policies.evidence import check, read_evidence
from terraform.policies.report import render


def plan(*resources: tuple[str, dict[str, Any]], environment: str = "staging") -> dict[str, Any]:
    context = {
        "project": "bakehouse",
        "environment": environment,
        "account_id": "111111111111",
        "region": "eu-central-1",
    }
    return {
        "format_version": "1.2",
        "variables": {"context": {"value": context}},
        "resource_changes": [
            {
                "mode": "managed",
                "type": kind,
                "address": f"{kind}.it",
                "change": {"actions": ["create"], "before": None, "after": values, "after_unknown": {}},
            }
            for kind, values in resources
        ],
    }


def write(folder: Path, environment: str, document: dict[str, Any]) -> Path:
    (folder / environment).mkdir(parents=True)
    (folder / environment / "storage.plan.json").write_text(json.dumps(document))
    return folder


def test_the_sources_alone_are_in_order() -> None:
    done = CliRunner().invoke(app, ["check", "--environment", "none"])
    assert (done.exit_code, done.output) == (0, "0 failures in sources\n")


def test_an_environment_without_evidence_fails(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["check", "--evidence", str(tmp_path), "--environment", "staging"])
    assert done.exit_code == 1
    assert "ENC-01 staging (nothing)" in done.output


def test_before_an_apply_only_what_is_broken_fails(tmp_path: Path) -> None:
    def check(kind: str, **values: Any) -> Any:
        write(tmp_path / kind, "staging", plan(("aws_kms_key", {"enable_key_rotation": kind == "good", **values})))
        arguments = ["--evidence", str(tmp_path / kind), "--environment", "staging"]
        return CliRunner().invoke(app, ["check", "--before-apply", *arguments])

    assert check("good", policy=None, tags_all={}).exit_code == 1, "it has no policy of its own, and no tags"
    broken = check("bad")
    assert broken.exit_code == 1
    assert "ENC-02 staging storage:aws_kms_key.it" in broken.output
    assert "(nothing)" not in broken.output


def test_an_environment_without_a_plan_of_every_root_fails(tmp_path: Path) -> None:
    write(tmp_path, "staging", plan(("aws_kms_key", {"enable_key_rotation": True})))
    done = CliRunner().invoke(app, ["check", "--evidence", str(tmp_path), "--environment", "staging"])
    assert done.exit_code == 1
    assert "staging has no plan of bootstrap, cluster, foundation, identity, observability" in done.output


def test_every_failure_is_listed_with_its_rule_and_subject(tmp_path: Path) -> None:
    write(tmp_path, "staging", plan(("aws_kms_key", {"enable_key_rotation": False})))
    done = CliRunner().invoke(app, ["check", "--evidence", str(tmp_path), "--environment", "staging"])
    assert done.exit_code == 1
    assert "ENC-02 staging storage:aws_kms_key.it: broken, enable_key_rotation is False, not True" in done.output


def test_an_environment_that_there_is_not_is_named() -> None:
    done = CliRunner().invoke(app, ["check", "--environment", "stagin"])
    assert isinstance(done.exception, ConfigurationError)
    assert "There is no environment stagin" in str(done.exception)


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("storage.plan.json", "{", "is not JSON"),
        ("storage.plan.json", "{}", "not what `terraform show -json` prints"),
        ("storage.state.json", '{"format_version": "1.0"}', r"no \*\.plan\.json"),
        ("storage.plan.json", json.dumps(plan(environment="production")), "plans of production"),
    ],
)
def test_evidence_that_is_not_evidence_is_refused(name: str, text: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "staging").mkdir()
    (tmp_path / "staging" / name).write_text(text)
    with pytest.raises(ConfigurationError, match=reason):
        read_evidence(tmp_path)


def test_the_page_shows_rules_failures_and_what_was_not_judged_and_escapes_what_it_shows(tmp_path: Path) -> None:
    document = plan(("aws_cloudwatch_log_group", {"retention_in_days": "<script>", "kms_key_id": None}))
    document["resource_changes"][0]["change"]["after"]["retention_in_days"] = 1
    document["resource_changes"][0]["address"] = 'module.a["<script>"].aws_cloudwatch_log_group.it'
    found = check(read_evidence(write(tmp_path, "staging", document)), ["staging", "production"], date(2026, 6, 1))
    page = render(found, datetime(2026, 6, 1, tzinfo=UTC))
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "production was not judged" in page
    assert "REC-07" in page
    assert page == render(found, datetime(2026, 6, 1, tzinfo=UTC))


def test_the_page_says_who_can_reach_which_data_of_which_class(tmp_path: Path) -> None:
    reads = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::logs/orders/*"}
    trusts = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "pods.eks.amazonaws.com"}}
    stands: dict[str, dict[str, Any]] = {
        "aws_ecr_repository": {"tags": {"model": "orders"}},
        "aws_s3_bucket": {"bucket": "logs", "tags": {"purpose": "predictions", "data-class": "personal"}},
        "aws_iam_role": {
            "name": "monitoring-orders",
            "arn": "arn:aws:iam::111111111111:role/monitoring-orders",
            "tags_all": {"workload": "monitoring", "model": "orders"},
            "assume_role_policy": json.dumps({"Statement": [trusts]}),
        },
        "aws_iam_role_policy": {"role": "monitoring-orders", "policy": json.dumps({"Statement": [reads]})},
    }
    write(tmp_path, "staging", plan(*stands.items()))
    resources = [
        {"mode": "managed", "type": kind, "address": f"{kind}.it", "values": values} for kind, values in stands.items()
    ]
    state = {"format_version": "1.0", "values": {"root_module": {"resources": resources}}}
    (tmp_path / "staging" / "storage.state.json").write_text(json.dumps(state))
    page = render(check(read_evidence(tmp_path), ["staging"], date(2026, 6, 1)), datetime(2026, 6, 1, tzinfo=UTC))
    assert "<th>role</th><th>workload</th><th>predictions (personal)</th>" in page
    assert "<td><code>monitoring-orders</code></td><td>monitoring</td><td>read orders</td>" in page


def test_a_cost_is_counted_for_every_machine_and_a_machine_without_a_price_is_not_left_out() -> None:
    context = Context("bakehouse", "staging", "111111111111", "eu-central-1")

    def group(kind: str) -> Resource:
        values = {"instance_types": [kind], "scaling_config": [{"min_size": 2}]}
        return Resource("cluster", "aws_eks_node_group.it", "aws_eks_node_group", values)

    costs = monthly_costs(Estate(context, (group("m7i.large"),)))
    assert [(cost.what, cost.count) for cost in costs] == [("node m7i.large", 2)]
    with pytest.raises(ConfigurationError, match=r"x9\.huge"):
        monthly_costs(Estate(context, (group("x9.huge"),)))


def test_every_way_out_costs_its_gateway_and_its_address() -> None:
    kinds = ("aws_nat_gateway", "aws_eip")
    found = [Resource("foundation", f"{kind}.egress[{zone}]", kind, {}) for kind in kinds for zone in range(3)]
    context = Context("bakehouse", "production", "222222222222", "eu-central-1")
    costs = monthly_costs(Estate(context, tuple(found)))
    assert {cost.what: cost.count for cost in costs} == dict.fromkeys(kinds, 3)
    assert all(cost.each_usd > 0 for cost in costs)
