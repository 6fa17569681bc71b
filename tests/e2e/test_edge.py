"""`bakehouse edge`: packages that answer as the services do, where there is nothing but numpy and onnxruntime."""

from __future__ import annotations

import asyncio
import functools
import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from bakehouse import archives
from bentos.common.edge_package import EdgePackage, write_package
from bentos.common.identity import GRAPH_FILE, IDENTITY_FILE, Identity
from bentos.common.predictor import MOST_DOCUMENTS, Pipeline
from bentos.common.room import load_room, rooms
from bentos.common.runtime import runtime
from bentos.common.session import OnnxModel
from tests.browser import tab
from tests.room_graphs import write_graph
from tests.served import LINEAGE

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PHONE = 390
RECORDS = 100
READY_SECONDS = 120
CHECKOUT = Path(__file__).resolve().parents[2]
FIRST_ANSWER_SECONDS = 10
"""Promised are 2 s; 0.9 to 1.0 s were measured on two cores with eleven processes waiting. A build server gets more."""
MOST_ASKED = 3_000


@dataclass(frozen=True)
class Edge:
    """A package, the python that it runs in, and the bento it was made of."""

    package: EdgePackage
    python: Path
    bento: Path

    def run(self, body: bytes, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        command = [str(self.python), str(self.package.folder / "run.py"), *arguments]
        return subprocess.run(command, input=body, capture_output=True, cwd=self.package.folder.parent, check=False)

    def answers(self, documents: Sequence[Any]) -> Any:
        done = self.run(json.dumps(documents).encode())
        assert done.returncode == 0, done.stderr.decode()
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new virtual environment with numpy and onnxruntime, and what these can be installed without left out."""
    folder = tmp_path_factory.mktemp("clean") / "venv"
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "--quiet", "--python", sys.executable, str(folder)], check=True)
    wanted = [f"{name}=={version(name)}" for name in ("numpy", "onnxruntime")]
    options = ["--quiet", "--no-deps", "--python", str(folder / "bin" / "python")]
    subprocess.run([*uv, "pip", "install", *options, *wanted], check=True)
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def packages(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Edge]:
    """The package of a room, which is written when it is first asked for."""

    @functools.cache
    def written(name: str) -> Edge:
        folder = tmp_path_factory.mktemp(name)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("BAKEHOUSE_STATE", str(tmp_path_factory.getbasetemp() / "edge-state"))
            bento = unpacked(name, write_graph(load_room(name), folder), folder / "bento")
            package = write_package(bento, None, folder / "edge package", page=shutil.which("npm") is not None)
        return Edge(package, python, bento)

    return written


@pytest.fixture(params=rooms(CHECKOUT))
def edge(request: pytest.FixtureRequest, packages: Callable[[str], Edge]) -> Edge:
    """Every room's, for what its own code answers."""
    return packages(str(request.param))


@pytest.fixture(params=["orders", "sentiment"])
def either(request: pytest.FixtureRequest, packages: Callable[[str], Edge]) -> Edge:
    """One of documents within documents, or one of text: for what the runner does whatever the room."""
    return packages(str(request.param))


def unpacked(name: str, graph: Path, bento: Path) -> Path:
    """A bento of the room as delivery unpacks it, without BentoML's own files."""
    source = bento / "src"
    for module in runtime(Path("bentos", name, "service.py"), CHECKOUT).modules:
        (source / module).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(CHECKOUT / module, source / module)
    shutil.copyfile(graph, source / GRAPH_FILE)
    shutil.copyfile(CHECKOUT / "bentos" / name / "card.md", source / "card.md")
    identity = Identity(model=name, model_version=3, model_digest=archives.digest(graph), **LINEAGE)
    (source / IDENTITY_FILE).write_text(identity.model_dump_json())
    return bento


def requests(name: str) -> list[Any]:
    """All that the shipped batches hold of a request, whatever the contract says of it: whole ones, which need no
    feature store."""
    fields = load_room(name).contract.Request.model_fields
    lines = [line for file in sorted((CHECKOUT / "data" / name).glob("*.ndjson")) for line in file.open("rb")]
    found = []
    for line in lines:
        try:
            document = json.loads(line)
        except ValueError:
            continue
        found.append({key: value for key, value in document.items() if key in fields})
    return found


def test_a_package_answers_as_the_service_on_all_records(edge: Edge) -> None:
    """Every shipped record that is accepted gets the answer that the service's own pipeline gives."""
    asked, answers = answered_by_the_service(edge)
    assert [answer for some in lists(asked) for answer in edge.answers(some)] == answers


def answered_by_the_service(edge: Edge) -> tuple[list[Any], list[Any]]:
    """The shipped records as requests, and what the service's pipeline answers to lists of them: no fewer than the
    gatekeeper must let in. Asked one by one, some graphs answer otherwise in the last digit."""
    name = edge.package.identity.model
    room, shipped = load_room(name), requests(name)
    services = vars(room.service).values()
    predictor = next(it for it in services if hasattr(getattr(it, "inner", None), "request")).inner()
    pipeline: Pipeline[Any, Any] = Pipeline(predictor, OnnxModel(edge.package.folder / GRAPH_FILE), 3)
    asked = [document for document in shipped if _accepted(pipeline, document)][:MOST_ASKED]
    assert len(asked) >= min(MOST_ASKED, len(shipped) * (room.problem.gates["acceptance_rate"].at_least or 1))
    answers = [json.loads(pipeline.predict(json.dumps(some).encode()).body) for some in lists(asked)]
    return asked, [answer for several in answers for answer in several]


def lists(documents: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """As many documents at once as a service takes."""
    for start in range(0, len(documents), MOST_DOCUMENTS):
        yield documents[start : start + MOST_DOCUMENTS]


def _accepted(pipeline: Pipeline[Any, Any], document: Any) -> bool:
    from bentos.common.predictor import RefusedError

    try:
        return bool(pipeline.predict(json.dumps(document).encode()).body)
    except RefusedError:
        return False


def test_the_clean_environment_has_nothing_else(python: Path) -> None:
    """Neither pydantic nor anything of ours is there to be imported by chance."""
    found = subprocess.run(
        [sys.executable, "-m", "uv", "pip", "list", "--format=json", "--python", str(python)],
        check=True,
        capture_output=True,
    )
    assert {one["name"] for one in json.loads(found.stdout)} == {"numpy", "onnxruntime"}


def test_the_first_answer_comes_soon(edge: Edge) -> None:
    example = (edge.package.folder / "example.json").read_bytes()
    started = time.monotonic()
    done = edge.run(example)
    assert time.monotonic() - started < FIRST_ANSWER_SECONDS
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout) == json.loads(edge.package.answer)


@pytest.mark.parametrize(
    ("body", "field"),
    [(b"", "(document)"), (b"{", "(document)"), (b"[]", "(document)"), (b'{"x": 1}', "x"), (b"[3]", "0")],
)
def test_bad_input_is_refused_by_name(either: Edge, body: bytes, field: str) -> None:
    """Exit code 1, nothing on standard output, and the problems as JSON."""
    done = either.run(body)
    assert (done.returncode, done.stdout) == (1, b"")
    problems = json.loads(done.stderr)["problems"]
    assert field in {problem["field"] for problem in problems}
    assert all(problem["reason"] for problem in problems)


@pytest.mark.parametrize("name", ["model.onnx", "run.py", "code/bentos/common/predictor.py"])
def test_a_changed_package_answers_nothing(either: Edge, name: str, tmp_path: Path) -> None:
    copied = shutil.copytree(either.package.folder, tmp_path / "copied", ignore=lambda *_: ["page"])
    with (copied / name).open("ab") as file:
        file.write(b"\n")
    done = subprocess.run([either.python, copied / "run.py", copied / "example.json"], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (2, b"")
    assert f"{name} was changed".encode() in done.stderr
    (copied / name).unlink()
    if name != "run.py":
        done = subprocess.run([either.python, copied / "run.py", "--check"], capture_output=True, check=False)
        assert done.returncode == 2
        assert f"{name} is missing".encode() in done.stderr


def test_the_code_in_a_package_is_the_bentos(edge: Edge) -> None:
    """Byte for byte, but for what stands in for a library or for a part that needs one."""
    code = edge.package.folder / "code"
    ours = {path.relative_to(code) for path in code.rglob("*.py")}
    name = edge.package.identity.model
    same = {it for it in ours if _bytes(code / it) == _bytes(edge.bento / "src" / it)}
    assert {Path("bentos", name, f"{it}.py") for it in ("contract", "features", "service")} <= same
    assert {Path("bentos/common/predictor.py"), Path("bentos/common/session.py")} <= same


def _bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def test_a_package_answers_beside_real_pydantic(either: Edge) -> None:
    """Imported where pydantic and our own rooms are, it keeps to its own code and leaves theirs alone."""
    program = f"""
import sys, json, pydantic
import bentos.common.predictor as theirs
sys.path.insert(0, {str(either.package.folder)!r})
from run import Model, RefusedError
print(json.dumps(Model().answer(json.load(open({str(either.package.folder / "example.json")!r})))))
try:
    Model().answer([])
except RefusedError as error:
    print(json.dumps(error.problems))
assert sys.modules["pydantic"] is pydantic and sys.modules["bentos.common.predictor"] is theirs
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answer, problems = map(json.loads, done.stdout.splitlines())
    assert answer == json.loads(either.package.answer)
    assert problems[0]["field"] == "(document)"


@pytest.fixture
def address(edge: Edge) -> Iterator[str]:
    """The package's page, served as any file server does, without headers that isolate it."""
    if CHROMIUM is None or shutil.which("npm") is None:
        pytest.skip("chromium or npm is not installed (./run.sh programs)")
    handler = functools.partial(QuietHandler, directory=str(edge.package.folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/page/"
        server.shutdown()
        thread.join()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_words: Any) -> None:
        pass


@pytest.mark.asyncio
async def test_the_page_answers_as_the_service(edge: Edge, address: str, tmp_path: Path) -> None:
    """In a real browser on a phone's width: every record as the service answers it, a refusal in its words, nothing
    loaded from elsewhere."""
    asked, answers = answered_by_the_service(edge)
    assert CHROMIUM is not None
    async with tab(CHROMIUM, tmp_path / "profile") as page:
        await page.open(address, PHONE)
        deadline = time.monotonic() + READY_SECONDS
        while not await page.value("!document.getElementById('predict').disabled"):
            said = await page.value("document.getElementById('status').textContent")
            assert time.monotonic() < deadline and "can't" not in said, said
            await asyncio.sleep(0.1)
        some = asked[:: max(1, len(asked) // RECORDS)]
        found = await page.value(f"window.bakehouse.predict({json.dumps(some)})")
        assert len(some) >= min(RECORDS, len(asked))
        assert found["answer"] == [_near(answer) for answer in answers[:: max(1, len(asked) // RECORDS)]]
        refused = await page.value("window.bakehouse.predict([3])")
        assert json.loads(edge.run(b"[3]").stderr) == refused["refused"]

        await page.value("document.getElementById('form').requestSubmit()")
        while not await page.value("document.getElementById('answer').textContent"):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)
        shown = json.loads(await page.value("document.getElementById('answer').textContent"))
        assert shown == _near(json.loads(edge.package.answer))
        assert await page.value("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
        await page.picture(tmp_path / "page.png")
    assert {url for url in page.requested if not url.startswith((address.removesuffix("page/"), "data:"))} == set()
    assert page.complaints == []


def _near(value: Any) -> Any:
    """The same, its floating numbers equal to what is within a millionth."""
    if isinstance(value, dict):
        return {key: _near(item) for key, item in value.items()}
    return pytest.approx(value, abs=1e-6) if isinstance(value, float) else value
