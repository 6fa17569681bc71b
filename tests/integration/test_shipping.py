"""What ships a service's logs, as a real process against a real S3 server: nothing is lost, and nothing is double."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from bentos.common.feedback import Feedback
from bentos.common.log_files import FOLDER_VARIABLE, SHIPPED_VARIABLE, lock
from bentos.common.ship import CONTENT_TYPE, URL_VARIABLE
from tests.cluster_equipment import CHECKOUT
from tests.loopback import free_port
from tests.order_documents import order
from tests.served import serve
from tests.waiting import eventually

BUCKET = "staging-predictions"
URL = f"s3://{BUCKET}/sums"
MAY_PUT = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{BUCKET}/sums/*"}],
}
WRITER = """
import sys
import time
from pathlib import Path
from pydantic import BaseModel
from bentos.common.prediction_log import PredictionLog

class Number(BaseModel):
    number: int

def dropped(count):
    raise SystemExit(f"{count} dropped")

log = PredictionLog(Path(sys.argv[1]), BaseModel.model_dump, "sums", 3, dropped, file_bytes=2_000, shipped=True)
for number in range(int(sys.argv[2])):
    log.record("r", [Number(number=number)], [Number(number=0)])
    time.sleep(0.01)
log.close()
"""


class Shipping:
    """Processes that ship `folder`, one after the other; `said` is what all of them printed."""

    def __init__(self, folder: Path, home: Path, said: Path) -> None:
        self.folder = folder
        self._home = home
        self._said = said
        said.touch()
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, *options: str, **variables: str) -> subprocess.Popen[bytes]:
        settings = {FOLDER_VARIABLE: str(self.folder), URL_VARIABLE: URL, **variables}
        command = [sys.executable, "-m", "bentos.common.ship", "--every", "0.2", "--last", "30", *options]
        with self._said.open("ab") as said:
            process = subprocess.Popen(command, cwd=self._home, env={**os.environ, **settings}, stderr=said)
        self._processes.append(process)
        begun = len(self._processes)
        eventually("it has begun", lambda: self._said.read_text().count(" Shipping ") == begun or process.poll())
        return process

    def ended(self, process: subprocess.Popen[bytes], how: signal.Signals = signal.SIGTERM) -> int:
        process.send_signal(how)
        return process.wait(60)

    @property
    def said(self) -> str:
        return "".join(line for line in self._said.read_text().splitlines(keepends=True) if " Shipping " not in line)

    def end(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.kill()
                process.wait()


@pytest.fixture
def shipping(tmp_path: Path) -> Iterator[Shipping]:
    (tmp_path / "log").mkdir()
    running = Shipping(tmp_path / "log", CHECKOUT, tmp_path / "said")
    yield running
    running.end()
    print(running.said)  # noqa: T201 - shown where the test failed


@pytest.fixture
def bucket(s3: Any) -> Any:
    s3.create_bucket(Bucket=BUCKET)
    return s3


class DeafServer:
    """Takes requests and, given a `behind`, passes them on there, but never answers: whoever asks can't know."""

    def __init__(self, behind: str | None = None) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._behind = behind
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.asked = threading.Event()
        self.stored = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        connections = []
        while True:
            connection, _ = self._listening.accept()
            connections.append(connection)
            self.asked.set()
            if self._behind is not None:
                threading.Thread(target=self._pass_on, args=(connection,), daemon=True).start()

    def _pass_on(self, connection: socket.socket) -> None:
        host, _, port = str(self._behind).removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port))) as other:
            threading.Thread(target=_copy, args=(connection, other), daemon=True).start()
            while answer := other.recv(65536):
                if b" 100 Continue" in answer:
                    connection.sendall(answer)
                elif b" 200 " in answer:
                    self.stored.set()


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while content := source.recv(65536):
            target.sendall(content)
    except OSError:
        pass


def write(folder: Path, *numbers: int, start: int | None = None, model: str = "sums") -> Path:
    """A file as a service leaves it."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{model}-3-{start or time.time_ns()}-1.ndjson"
    path.write_text("".join(f'{{"request": {{"number": {number}}}}}\n' for number in numbers))
    return path


def keys(s3: Any) -> list[str]:
    return [entry["Key"] for entry in s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])]


def shipped(s3: Any, kind: str = "predictions") -> list[Any]:
    """Every line of every object of this kind."""
    bodies = [s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys(s3) if f"/{kind}/" in key]
    return [json.loads(line) for body in bodies for line in body.splitlines()]


def numbers(s3: Any) -> list[int]:
    return sorted(line["request"]["number"] for line in shipped(s3))


def test_a_key_says_kind_day_and_pod_and_the_object_is_the_file(bucket: Any, shipping: Shipping) -> None:
    start = 1_795_000_000_123_456_789
    path = write(shipping.folder, 1, 2, start=start)
    other = write(shipping.folder / "feedback", 3, start=start)
    content = path.read_bytes()
    process = shipping.start()
    eventually("both are shipped", lambda: not path.exists() and not other.exists())
    day, host = datetime.fromtimestamp(start / 1e9, UTC).date(), socket.gethostname()
    name = f"date={day}/sums-3-{start}-{host}-1.ndjson"
    assert keys(bucket) == [f"sums/feedback/{name}", f"sums/predictions/{name}"]
    found = bucket.get_object(Bucket=BUCKET, Key=f"sums/predictions/{name}")
    assert found["Body"].read() == content
    assert found["ContentType"] == CONTENT_TYPE
    assert shipping.ended(process) == 0
    assert shipping.said == ""


def test_while_a_service_writes_and_what_ships_is_killed_nothing_is_lost_or_double(
    bucket: Any, shipping: Shipping
) -> None:
    count = 300
    writer = subprocess.Popen([sys.executable, "-c", WRITER, shipping.folder, str(count)], cwd=CHECKOUT)
    for _ in range(3):
        process, before = shipping.start("--every", "0.05"), len(keys(bucket))
        eventually("something more is shipped", lambda before=before: len(keys(bucket)) > before)  # type: ignore[misc]
        shipping.ended(process, signal.SIGKILL)
    last = shipping.start("--every", "0.05")
    assert writer.wait(60) == 0
    assert shipping.ended(last) == 0
    assert numbers(bucket) == list(range(count))
    assert list(shipping.folder.glob("*")) == []


def test_a_service_that_is_killed_leaves_whole_lines(bucket: Any, shipping: Shipping) -> None:
    writer = subprocess.Popen([sys.executable, "-c", WRITER, shipping.folder, "100000"], cwd=CHECKOUT)
    eventually("it writes", lambda: list(shipping.folder.glob("*.ndjson")))
    writer.kill()
    writer.wait()
    torn = write(shipping.folder, 7)
    with torn.open("ab") as file:
        file.write(b'{"request": {"num')
    assert shipping.ended(shipping.start()) == 0
    assert 7 in numbers(bucket)
    assert "last 17 bytes go" in shipping.said
    assert list(shipping.folder.glob("*")) == []


def test_a_file_that_is_being_written_waits(bucket: Any, shipping: Shipping) -> None:
    path = write(shipping.folder, 1)
    with path.open("ab") as file:
        assert lock(file.fileno())
        process = shipping.start()
        other = write(shipping.folder, 2)
        eventually("the other is shipped", lambda: not other.exists())
        assert numbers(bucket) == [2]
    assert shipping.ended(process) == 0
    assert numbers(bucket) == [1, 2]


def test_killed_in_the_midst_of_an_upload_it_ships_the_file_again(bucket: Any, shipping: Shipping) -> None:
    deaf = DeafServer()
    path = write(shipping.folder, *range(1000))
    process = shipping.start(AWS_ENDPOINT_URL=deaf.url)
    assert deaf.asked.wait(60)
    shipping.ended(process, signal.SIGKILL)
    assert path.exists()
    assert keys(bucket) == []
    assert shipping.ended(shipping.start()) == 0
    assert numbers(bucket) == list(range(1000))


def test_where_s3_stored_it_and_the_answer_was_lost_there_is_still_one_object(bucket: Any, shipping: Shipping) -> None:
    deaf = DeafServer(behind=os.environ["AWS_ENDPOINT_URL"])
    path = write(shipping.folder, *range(1000))
    process = shipping.start(AWS_ENDPOINT_URL=deaf.url)
    assert deaf.stored.wait(60)
    shipping.ended(process, signal.SIGKILL)
    assert path.exists(), "nobody has confirmed it"
    assert len(keys(bucket)) == 1
    assert shipping.ended(shipping.start()) == 0
    assert not path.exists()
    assert len(keys(bucket)) == 1
    assert numbers(bucket) == list(range(1000))


def test_while_s3_is_away_files_stay_and_go_when_it_is_back(bucket: Any, shipping: Shipping) -> None:
    from moto.server import ThreadedMotoServer

    port = free_port()
    path = write(shipping.folder, 1, 2)
    process = shipping.start(AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}")
    eventually("it says so", lambda: "1 files wait" in shipping.said)
    assert path.exists()
    back = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)  # of the same store
    back.start()
    try:
        eventually("it is shipped", lambda: not path.exists())
        assert numbers(bucket) == [1, 2]
        eventually("it says so", lambda: "S3 takes files again: 1 are shipped." in shipping.said)
        assert shipping.ended(process) == 0
    finally:
        back.stop()
    assert all("Could not connect" in line for line in shipping.said.splitlines() if "WARNING" in line)


@pytest.fixture
def right_to_put(bucket: Any) -> Iterator[dict[str, str]]:
    """The keys of a user who may put what is under one model's name and nothing else, where S3 asks for rights."""
    import boto3

    iam = boto3.client("iam")
    iam.create_user(UserName="service")
    iam.put_user_policy(UserName="service", PolicyName="put", PolicyDocument=json.dumps(MAY_PUT))
    key = iam.create_access_key(UserName="service")["AccessKey"]
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    httpx.post(f"{endpoint}/moto-api/reset-auth", content="0").raise_for_status()
    yield {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
    httpx.post(f"{endpoint}/moto-api/reset-auth", content="inf").raise_for_status()


def test_the_right_to_put_under_the_models_name_is_all_it_needs(
    right_to_put: dict[str, str], shipping: Shipping
) -> None:
    path, other = write(shipping.folder, 1), write(shipping.folder / "feedback", 2)
    assert shipping.ended(shipping.start(**right_to_put)) == 0
    assert not path.exists()
    assert not other.exists()
    assert shipping.said == ""


def test_what_it_may_not_put_it_keeps_and_says_so(right_to_put: dict[str, str], shipping: Shipping) -> None:
    path = write(shipping.folder, 1)
    process = shipping.start("--last", "0", **right_to_put, BAKEHOUSE_PREDICTIONS_URL=f"s3://{BUCKET}/other")
    eventually("it has tried again", lambda: shipping.said.count("AccessDenied") == 2)
    assert process.poll() is None
    assert shipping.ended(process) == 1
    assert path.exists()
    assert "1 files are not shipped" in shipping.said.splitlines()[-1]
    assert len(shipping.said.splitlines()) == 3


def test_a_bucket_that_there_is_not_is_said(bucket: Any, shipping: Shipping) -> None:
    path = write(shipping.folder, 1)
    process = shipping.start(BAKEHOUSE_PREDICTIONS_URL="s3://elsewhere/sums")
    eventually("it says so", lambda: "NoSuchBucket" in shipping.said)
    assert process.poll() is None
    assert path.exists()


def test_it_takes_the_pods_role_by_its_token(
    bucket: Any, shipping: Shipping, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which the kubelet may write a moment later: until then files wait, and it says why."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    token = tmp_path / "token"
    path = write(shipping.folder, 1)
    process = shipping.start(
        AWS_ROLE_ARN="arn:aws:iam::123456789012:role/service-sums", AWS_WEB_IDENTITY_TOKEN_FILE=str(token)
    )
    eventually("it says so", lambda: str(token) in shipping.said)
    assert path.exists()
    token.write_text("of the service account")
    eventually("it is shipped", lambda: not path.exists())
    assert shipping.ended(process) == 0


@pytest.mark.parametrize(
    "url", ["", "staging-predictions/sums", "https://a/b", "s3://", "s3://bucket/$(BAKEHOUSE_MODEL)"]
)
def test_it_does_not_start_with_what_is_no_address(url: str, shipping: Shipping) -> None:
    path = write(shipping.folder, 1)
    assert shipping.start(BAKEHOUSE_PREDICTIONS_URL=url).wait(60) == 1
    assert len(shipping.said.splitlines()) == 1
    assert URL_VARIABLE in shipping.said
    assert path.exists()


def test_it_does_not_start_without_a_folder(shipping: Shipping, tmp_path: Path) -> None:
    assert shipping.start(BAKEHOUSE_PREDICTION_LOG=str(tmp_path / "none")).wait(60) == 1
    assert FOLDER_VARIABLE in shipping.said
    assert len(shipping.said.splitlines()) == 1


def test_feedback_goes_to_a_new_file_after_one_was_shipped(bucket: Any, shipping: Shipping) -> None:
    feedback = Feedback(shipping.folder, int, "sums", 3)
    process = shipping.start()
    for label in (1, 2):
        feedback.keep(feedback.read(json.dumps({"request_id": "r", "label": label}).encode()))
        eventually("it is shipped", lambda label=label: len(shipped(bucket, "feedback")) == label)  # type: ignore[misc]
    assert shipping.ended(process) == 0
    assert sorted(line["label"] for line in shipped(bucket, "feedback")) == [1, 2]
    assert len(keys(bucket)) == 2


def test_a_pod_ends_in_kubernetes_order_and_every_answer_is_in_s3(
    bento: Path, bucket: Any, shipping: Shipping, tmp_path: Path
) -> None:
    """From the bento alone: the service gets SIGTERM, and what ships its logs once it has ended."""
    settings = {FOLDER_VARIABLE: str(shipping.folder), SHIPPED_VARIABLE: "true"}
    sidecar = Shipping(shipping.folder, bento / "src", tmp_path / "said by the sidecar")
    process = sidecar.start("--every", "0.5", PYTHONPATH="")
    try:
        with serve(bento, tmp_path / "home", **settings) as served, served.client() as client:
            for number in range(100):
                answer = client.post(
                    "/predict", json=order(order_id=str(600_000 + number)), headers={"x-request-id": f"r-{number}"}
                )
                assert answer.status_code == 200
            assert served.stop() == 0
        assert sidecar.ended(process) == 0
    finally:
        sidecar.end()
    found = Counter((line["request_id"], line["request"]["order_id"]) for line in shipped(bucket))
    assert found == Counter((f"r-{number}", str(600_000 + number)) for number in range(100))
    assert sidecar.said == ""


def test_a_service_loads_nothing_of_what_ships(bento: Path) -> None:
    """Neither its memory nor its start pays for S3."""
    program = "import sys, bentos.orders.service; print({'boto3', 'botocore', 's3transfer'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=bento / "src",
        env={**os.environ, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "set()"


def test_pandas_reads_a_day(bucket: Any, shipping: Shipping) -> None:
    """The snippet of docs/how-to/kubernetes.md."""
    import pandas as pd
    import s3fs

    start = 1_795_000_000_123_456_789
    write(shipping.folder, 1, 2, start=start)
    write(shipping.folder, 3, start=start + 1)
    assert shipping.ended(shipping.start()) == 0
    text = (CHECKOUT / "docs/how-to/kubernetes.md").read_text()
    snippet = text.partition("```python\n")[2].partition("```")[0]
    day = str(datetime.fromtimestamp(start / 1e9, UTC).date())
    snippet = snippet.replace("production-predictions/orders", f"{BUCKET}/sums").replace("2026-11-21", day)
    assert day in snippet
    assert "sums" in snippet
    found: dict[str, Any] = {"pd": pd, "s3fs": s3fs}
    exec(snippet, found)  # noqa: S102
    assert sorted(request["number"] for request in found["predictions"]["request"]) == [1, 2, 3]
