"""What moto does not enforce: who may take a role by a token, and what a role may do in S3.

Stands before the moto server, in its process. It reads the policies that moto was given and evaluates them by
`terraform.policies.evaluation`, the same code that makes the access matrix; moto itself checks neither conditions nor
boundaries nor tags. Requests that carry no role's credentials (Terraform's own) pass.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, unquote

from terraform.policies.documents import parse
from terraform.policies.evaluation import Answer, Principal, Target, allowed, assumable

_ACTIONS = {
    "GET": ("s3:GetObject", "kms:Decrypt"),
    "HEAD": ("s3:GetObject", "kms:Decrypt"),
    "PUT": ("s3:PutObject", "kms:GenerateDataKey"),
    "DELETE": ("s3:DeleteObject", None),
}


class Enforcement:
    """The decisions for one account and region."""

    def __init__(self, account: str, region: str) -> None:
        self._account = account
        self._region = region

    def token(self, body: str) -> Answer:
        """Whether the token of an `AssumeRoleWithWebIdentity` call may take the role that it asks for."""
        asked = {key: values[0] for key, values in parse_qs(body).items()}
        claims = json.loads(base64.urlsafe_b64decode(asked["WebIdentityToken"].split(".")[1] + "=="))
        issuer = str(claims["iss"]).removeprefix("https://")
        return assumable(
            parse(self._role(asked["RoleArn"]).assume_role_policy_document),
            "Federated",
            f"arn:aws:iam::{self._account}:oidc-provider/{issuer}",
            "sts:AssumeRoleWithWebIdentity",
            {f"{issuer}:sub": claims["sub"], f"{issuer}:aud": claims["aud"]},
        )

    def s3(self, key_id: str, method: str, path: str, query: str) -> Answer | None:
        """Whether the role behind an access key may do what an S3 request asks; None where no role is behind it."""
        principal = self._principal(key_id)
        if principal is None:
            return None
        bucket, _, key = unquote(path).lstrip("/").partition("/")
        policy, encryption_key = self._bucket(bucket)
        if not key:
            prefix = parse_qs(query).get("prefix", [""])[0]
            target = Target(f"arn:aws:s3:::{bucket}", self._account, policy=policy)
            return allowed(principal, "s3:ListBucket", target, {"s3:prefix": prefix})
        action, key_action = _ACTIONS[method]
        answer = allowed(principal, action, Target(f"arn:aws:s3:::{bucket}/{key}", self._account, policy=policy))
        if answer.allowed and key_action and encryption_key:
            return allowed(
                principal, key_action, encryption_key, {"kms:ViaService": f"s3.{self._region}.amazonaws.com"}
            )
        return answer

    def _role(self, arn: str) -> Any:
        from moto.iam.models import iam_backends

        return iam_backends[self._account]["aws"].get_role_by_arn(arn)

    def _principal(self, key_id: str) -> Principal | None:
        from moto.iam.models import iam_backends
        from moto.sts.models import sts_backends

        assumed = next(
            (one for one in sts_backends[self._account]["aws"].assumed_roles if one.access_key_id == key_id), None
        )
        if assumed is None:
            return None
        role = self._role(assumed.role_arn)
        attached = [_current(policy) for policy in role.managed_policies.values()]
        bound = role.permissions_boundary_arn
        boundary = iam_backends[self._account]["aws"].get_policy(bound) if bound else None
        return Principal(
            arn=role.arn,
            tags=_tags(role.tags),
            policies=tuple(item for text in [*role.policies.values(), *attached] for item in parse(text)),
            boundary=parse(_current(boundary)) if boundary else None,
        )

    def _bucket(self, name: str) -> tuple[tuple[Any, ...], Target | None]:
        from moto.kms.models import kms_backends
        from moto.s3.models import s3_backends

        bucket = s3_backends[self._account]["aws"].buckets[name]
        policy = parse(bucket.policy.decode()) if bucket.policy else ()
        match = re.search(r"arn:aws:kms:[^\"'<]+", json.dumps(bucket.encryption, default=str))
        if not match:
            return policy, None
        key = kms_backends[self._account][self._region].keys[match.group(0).rpartition("/")[2]]
        return policy, Target(match.group(0), self._account, policy=parse(key.policy))


def _current(policy: Any) -> str:
    return str(next(version.document for version in policy.versions if version.is_default))


def _tags(tags: Sequence[Mapping[str, str]]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in tags}
