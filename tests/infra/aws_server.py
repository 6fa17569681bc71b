"""An AWS on loopback: moto's own HTTP server, and answers to the few calls of our resources that moto lacks.

Run as a process: `python -m tests.infra.aws_server PORT ACCOUNT`. What is added is a plain store behind the real
protocol (EKS add-ons and access entries, a budget's subscribers and tags) and what a role may do (`enforcement`). Two
faults of moto are mended, each where it says so; nothing else that moto answers is changed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterable
from html import escape
from http import HTTPStatus
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from tests.infra.enforcement import Enforcement

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

Answer = tuple[int, dict[str, Any]]

_ABSENT: Answer = (404, {"__type": "ResourceNotFoundException", "message": "No such resource."})


class Additions:
    """The calls that moto lacks, by account-wide stores. One server is one account, so there is no account in a key."""

    def __init__(self) -> None:
        self._addons: dict[tuple[str, str], dict[str, Any]] = {}
        self._entries: dict[tuple[str, str], dict[str, Any]] = {}
        self._policies: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
        self._budget_tags: dict[str, list[dict[str, str]]] = {}
        self._routes: list[tuple[str, re.Pattern[str], Callable[..., Answer]]] = [
            ("POST", re.compile(r"/clusters/([^/]+)/addons"), self._create_addon),
            ("GET", re.compile(r"/clusters/([^/]+)/addons/([^/]+)"), self._describe_addon),
            ("DELETE", re.compile(r"/clusters/([^/]+)/addons/([^/]+)"), self._delete_addon),
            ("POST", re.compile(r"/clusters/([^/]+)/access-entries"), self._create_entry),
            ("GET", re.compile(r"/clusters/([^/]+)/access-entries/([^/]+)"), self._describe_entry),
            ("DELETE", re.compile(r"/clusters/([^/]+)/access-entries/([^/]+)"), self._delete_entry),
            ("POST", re.compile(r"/clusters/([^/]+)/access-entries/([^/]+)/access-policies"), self._associate),
            ("GET", re.compile(r"/clusters/([^/]+)/access-entries/([^/]+)/access-policies"), self._list_associated),
            (
                "DELETE",
                re.compile(r"/clusters/([^/]+)/access-entries/([^/]+)/access-policies/([^/]+)"),
                self._disassociate,
            ),
        ]

    def answer(self, method: str, path: str, target: str, body: dict[str, Any]) -> Answer | None:
        """The answer to a call that moto lacks, or None where the call is moto's."""
        if target.startswith("AWSBudgetServiceGateway."):
            return self._budget(target.removeprefix("AWSBudgetServiceGateway."), body)
        for wanted, pattern, handle in self._routes:
            match = pattern.fullmatch(path)
            if match and wanted == method:
                return handle(body, *(unquote(group) for group in match.groups()))
        return None

    def _budget(self, operation: str, body: dict[str, Any]) -> Answer | None:
        from moto.budgets.models import budgets_backends

        if operation == "CreateBudget":
            self._budget_tags[body["Budget"]["BudgetName"]] = body.get("ResourceTags", [])
        if operation == "ListTagsForResource":
            return 200, {"ResourceTags": self._budget_tags.get(body["ResourceARN"].rpartition("/")[2], [])}
        if operation == "DescribeSubscribersForNotification":
            budget = budgets_backends[body["AccountId"]]["aws"].budgets[body["AccountId"]][body["BudgetName"]]
            wanted = body["Notification"]
            for notification in budget.notifications:
                if all(notification.details.get(key) == value for key, value in wanted.items() if key != "Threshold"):
                    return 200, {"Subscribers": notification.subscribers}
            return 400, {"__type": "NotFoundException", "message": "No such notification."}
        return None

    def _create_addon(self, body: dict[str, Any], cluster: str) -> Answer:
        name = body["addonName"]
        self._addons[cluster, name] = {
            "addonName": name,
            "clusterName": cluster,
            "addonVersion": body.get("addonVersion"),
            "addonArn": f"arn:aws:eks:{_region()}:{_account()}:addon/{cluster}/{name}/1",
            "status": "ACTIVE",
            "health": {"issues": []},
            "createdAt": time.time(),
            "modifiedAt": time.time(),
            "tags": body.get("tags", {}),
        }
        return 200, {"addon": self._addons[cluster, name]}

    def _describe_addon(self, _body: dict[str, Any], cluster: str, name: str) -> Answer:
        addon = self._addons.get((cluster, name))
        return (200, {"addon": addon}) if addon else _ABSENT

    def _delete_addon(self, _body: dict[str, Any], cluster: str, name: str) -> Answer:
        addon = self._addons.pop((cluster, name), None)
        return (200, {"addon": {**addon, "status": "DELETING"}}) if addon else _ABSENT

    def _create_entry(self, body: dict[str, Any], cluster: str) -> Answer:
        principal = body["principalArn"]
        self._entries[cluster, principal] = {
            "clusterName": cluster,
            "principalArn": principal,
            "accessEntryArn": f"arn:aws:eks:{_region()}:{_account()}:access-entry/{cluster}/{principal}",
            "kubernetesGroups": body.get("kubernetesGroups", []),
            "username": body.get("username", principal),
            "type": body.get("type", "STANDARD"),
            "createdAt": time.time(),
            "modifiedAt": time.time(),
            "tags": body.get("tags", {}),
        }
        return 200, {"accessEntry": self._entries[cluster, principal]}

    def _describe_entry(self, _body: dict[str, Any], cluster: str, principal: str) -> Answer:
        entry = self._entries.get((cluster, principal))
        return (200, {"accessEntry": entry}) if entry else _ABSENT

    def _delete_entry(self, _body: dict[str, Any], cluster: str, principal: str) -> Answer:
        return (200, {}) if self._entries.pop((cluster, principal), None) else _ABSENT

    def _associate(self, body: dict[str, Any], cluster: str, principal: str) -> Answer:
        association = {
            "policyArn": body["policyArn"],
            "accessScope": {"namespaces": [], **body["accessScope"]},
            "associatedAt": time.time(),
            "modifiedAt": time.time(),
        }
        self._policies.setdefault((cluster, principal), {})[body["policyArn"]] = association
        return 200, {"clusterName": cluster, "principalArn": principal, "associatedAccessPolicy": association}

    def _list_associated(self, _body: dict[str, Any], cluster: str, principal: str) -> Answer:
        if (cluster, principal) not in self._entries:
            return _ABSENT
        associated = list(self._policies.get((cluster, principal), {}).values())
        return 200, {"clusterName": cluster, "principalArn": principal, "associatedAccessPolicies": associated}

    def _disassociate(self, _body: dict[str, Any], cluster: str, principal: str, policy: str) -> Answer:
        return (200, {}) if self._policies.get((cluster, principal), {}).pop(policy, None) else _ABSENT


def with_additions(moto: WSGIApplication) -> WSGIApplication:
    """moto's application, with what is enforced and what is added asked first."""
    additions, enforcement = Additions(), Enforcement(_account(), _region())

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path, _, query = str(environ.get("REQUEST_URI") or environ["PATH_INFO"]).partition("?")
        method, target = environ["REQUEST_METHOD"], environ.get("HTTP_X_AMZ_TARGET", "")
        signed = re.search(r"Credential=([^/]+)/[0-9]+/[^/]+/(\w+)/", environ.get("HTTP_AUTHORIZATION", ""))
        if signed and signed.group(2) == "s3":
            answer = enforcement.s3(signed.group(1), method, path, query)
            if answer and not answer.allowed:
                return _refuse(start_response, answer.because)
        elif environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
            body = _body(environ).decode()
            if "Action=AssumeRoleWithWebIdentity" in body:
                answer = enforcement.token(body)
                if not answer.allowed:
                    return _refuse(start_response, answer.because)
        elif path.startswith("/clusters/") or target.startswith("AWSBudgetServiceGateway."):
            raw = _body(environ)
            added = additions.answer(method, path, target, json.loads(raw) if raw else {})
            if added:
                return _answer(start_response, *added)
        return moto(environ, start_response)

    return application


def _body(environ: WSGIEnvironment) -> bytes:
    """The request's body, left there for moto to read again."""
    raw: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = BytesIO(raw)
    return raw


def _refuse(start_response: StartResponse, because: str) -> Iterable[bytes]:
    content = (
        f"<ErrorResponse><Error><Code>AccessDenied</Code><Message>{escape(because)}</Message></Error></ErrorResponse>"
    )
    start_response("403 Forbidden", [("Content-Type", "text/xml"), ("Content-Length", str(len(content.encode())))])
    return [content.encode()]


def _answer(start_response: StartResponse, status: int, document: dict[str, Any]) -> Iterable[bytes]:
    content = json.dumps(document).encode()
    start_response(
        f"{status} {'OK' if status == HTTPStatus.OK else 'Error'}",
        [
            ("Content-Type", "application/x-amz-json-1.1"),
            ("Content-Length", str(len(content))),
            ("x-amzn-ErrorType", document.get("__type", "")),
        ],
    )
    return [content]


def _account() -> str:
    return os.environ["MOTO_ACCOUNT_ID"]


def _region() -> str:
    return os.environ.get("AWS_DEFAULT_REGION", "eu-central-1")


def main() -> None:
    """Serve one account on one loopback port until the process is ended."""
    port, account = int(sys.argv[1]), sys.argv[2]
    os.environ.update(
        MOTO_ACCOUNT_ID=account,
        MOTO_PORT=str(port),
        MOTO_IAM_LOAD_MANAGED_POLICIES="true",
        # moto looks its own credentials up where it signs; any will do.
        AWS_ACCESS_KEY_ID="test",
        AWS_SECRET_ACCESS_KEY="test",
    )
    from moto.iam.access_control import PermissionResult
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from moto.rds.models import DBInstance
    from moto.s3.models import FakeBucket
    from werkzeug.serving import run_simple

    # moto takes a Deny whose condition doesn't hold for a Deny, so that TLS-only would shut everybody out.
    FakeBucket.get_permission = lambda *_: PermissionResult.NEUTRAL  # type: ignore[method-assign]
    # moto gives every database the same resource id, by which the provider looks them up.
    DBInstance.dbi_resource_id = property(  # type: ignore[assignment]
        lambda self: "db-" + hashlib.sha256(self.db_instance_identifier.encode()).hexdigest()[:26].upper(),
        lambda self, _: None,
    )

    run_simple(
        "127.0.0.1",
        port,
        with_additions(DomainDispatcherApplication(create_backend_app)),
        threaded=True,
        request_handler=MotoRequestHandler,
    )


if __name__ == "__main__":
    main()
