"""Pupils in a real Feast: what comes out as of a moment, and what an answer reads from the online store."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from feast import FeatureStore

from bakehouse.errors import ConfigurationError, DataError
from bentos.common import ndjson
from bentos.common.feature_store import Published
from bentos.common.masking import KEY_VARIABLE
from bentos.common.online_store import ADDRESS_VARIABLE, local_address, open_online_store
from bentos.common.predictor import Predictor, RefusedError
from bentos.common.redis_client import RedisClient
from bentos.common.room import load_room
from bentos.students.contract import Masked, Request, Response
from bentos.students.feature_store import definitions, views
from bentos.students.features import arrays
from bentos.students.service import Students
from steps.feature_history import as_known, publish
from tests.admitted import KEY
from tests.loopback import free_port
from tests.masked_students import documents, read_masked, write_masked
from tests.waiting import eventually

DAY = timedelta(days=1)
PUPILS = 25
PASSWORD = "p-a-s-s"


@pytest.fixture(scope="module")
def pupils(tmp_path_factory: pytest.TempPathFactory) -> list[Masked]:
    """Some pupils of both courses. The last one has one report, and never gets another."""
    read = read_masked(tmp_path_factory.mktemp("pupils"), PUPILS)
    read[-1] = read[-1].model_copy(update={"reports": read[-1].reports[:1]})
    return read


@pytest.fixture(scope="module")
def published(pupils: list[Masked], tmp_path_factory: pytest.TempPathFactory) -> Published:
    state = tmp_path_factory.mktemp("state")
    made = Published.of(definitions, pupils, state / "published", local_address(state, "students"))
    made.materialize()
    return made


@pytest.fixture(scope="module")
def sqlite(published: Published) -> str:
    return local_address(published.folder.parent, "students")


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real redis-server, without a file of its own."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed")
    port = free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    folder = tmp_path_factory.mktemp("redis")
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen([program, *options, "--dir", str(folder)], stdout=output, stderr=output)
    try:
        address = f"redis://127.0.0.1:{port}/2"
        eventually(lambda: f"redis-server answers:\n{log.read_text()}", partial(_answers, RedisClient(address)))
        yield address
    finally:
        process.terminate()
        process.wait(30)


def _answers(client: RedisClient) -> bool:
    try:
        client.pipeline([(b"PING",)])
    except DataError:
        return False
    return True


def service() -> Predictor[Request, Response]:
    """What BentoML serves, without BentoML."""
    return cast("Predictor[Request, Response]", cast(Any, Students).inner())


def asked(pupil: Masked) -> dict[str, str]:
    return views.key(pupil.student_id, pupil.course)


def test_each_pupil_comes_out_early_without_grades_and_late_with_both(
    published: Published, pupils: list[Masked]
) -> None:
    """And with the answers that went in; one with a single report has no late moment."""
    known = published.situations(pupils)
    assert len(known) == 2 * len(pupils) - 1
    for pupil, early, late in zip(pupils[:-1], known[:-1:2], known[1::2], strict=True):
        assert (early.student_id, early.course, early.final_grade) == (
            pupil.student_id,
            pupil.course,
            pupil.final_grade,
        )
        assert early.time == pupil.registration.time and early.reports == []
        assert [report.grade for report in late.reports] == [report.grade for report in pupil.reports]
        for moment in (early, late):
            assert moment.registration.model_dump(exclude={"time"}) == pupil.registration.model_dump(exclude={"time"})
            assert moment.absences is None
    assert known[-1].reports == []


def test_what_became_known_later_than_the_question_does_not_leak_into_it(pupils: list[Masked], tmp_path: Path) -> None:
    """A pupil registers anew after the second report, and the report is put right later still: neither is seen by a
    question of before, nor does one of after go without them."""
    pupil = pupils[0]
    reported = pupil.reports[1].time
    assert reported is not None
    moved = pupil.registration.model_copy(update={"health": 1 + pupil.registration.health % 5, "time": reported + DAY})
    assert moved.health != pupil.registration.health
    put_right = [
        report.model_copy(update={"grade": 20 - report.grade, "time": reported + 2 * DAY}) for report in pupil.reports
    ]
    after = pupil.model_copy(update={"registration": moved, "reports": put_right})

    class Later:
        """The definitions, with the facts of both records and a question after the last of them."""

        PROJECT, OBJECTS, FEATURES = definitions.PROJECT, definitions.OBJECTS, definitions.FEATURES
        entity = staticmethod(definitions.entity)
        as_of = staticmethod(definitions.as_of)

        @staticmethod
        def facts(record: Masked) -> Any:
            yield from definitions.facts(record)
            yield from [fact for fact in definitions.facts(after) if fact[1] > cast(datetime, reported)]

        @staticmethod
        def moments(record: Masked) -> Any:
            return [*definitions.moments(record), cast(datetime, reported) + 3 * DAY]

    published = Published.of(cast(Any, Later), [pupil], tmp_path / "later", f"sqlite://{tmp_path}/online.db")
    early, late, end = published.situations([pupil])
    assert early.registration.health == late.registration.health == pupil.registration.health
    assert (early.reports, [report.grade for report in late.reports]) == ([], [r.grade for r in pupil.reports])
    assert end.registration.health == moved.health
    assert [report.grade for report in end.reports] == [report.grade for report in put_right]


def test_the_online_store_is_read_as_feast_reads_it(published: Published, pupils: list[Masked], sqlite: str) -> None:
    """Every feature of every pupil, its type included, and nothing for whom it does not know."""
    assert_read_as_feast_does(published, pupils, sqlite)


def assert_read_as_feast_does(published: Published, pupils: list[Masked], address: str) -> None:
    entities = [*map(asked, pupils), views.key("student:" + "0" * 32, "mathematics")]
    own = open_online_store(address, views.PROJECT).read(views.VIEWS, entities)
    theirs = (
        FeatureStore(repo_path=str(published.folder))
        .get_online_features(features=definitions.FEATURES, entity_rows=entities, full_feature_names=True)
        .to_dict()
    )
    for place, found in enumerate(own):
        for view, names in views.VIEWS.items():
            features: Mapping[str, Any] = found[view] or dict.fromkeys(names)
            wanted = {name: theirs[f"{view}__{name}"][place] for name in names}
            assert features == wanted
            assert [type(value) for value in features.values()] == [type(value) for value in wanted.values()]
    assert own[-1] == {"registration": None, "reports": None}
    assert own[-2]["reports"] == {"first_grade": pupils[-1].reports[0].grade, "second_grade": None}


def test_a_pupil_asked_for_by_id_gets_the_vector_of_the_full_record(
    published: Published, sqlite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_same_vectors(sqlite, monkeypatch)


def assert_same_vectors(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ADDRESS_VARIABLE, address)
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    raw = documents("mathematics", PUPILS)
    by_id = [Request.model_validate({key: one[key] for key in ("course", "student_id")}) for one in raw]
    whole = [
        Request.model_validate_json(_json({key: one[key] for key in ("course", "registration", "reports")}))
        for one in raw
    ]
    answering = service()
    assert answering.waits([whole[0], by_id[0]])
    assert not answering.waits(whole)
    looked_up, sent = answering.arrays([*by_id, whole[0]]), arrays([*whole, whole[0]])
    assert all(np.array_equal(looked_up[name], sent[name]) for name in sent)
    assert sent["late"].all()
    unknown = Request(course="mathematics", student_id="S99999")
    for requests in ([by_id[0], unknown, whole[0], unknown], [unknown]):
        with pytest.raises(RefusedError) as refused:
            answering.arrays(requests)
        assert refused.value.status == 404
        places = [place for place, request in enumerate(requests) if request is unknown]
        assert [problem["field"] for problem in refused.value.problems] == [f"{place}.student_id" for place in places]


def _json(document: Mapping[str, Any]) -> bytes:
    import orjson

    return orjson.dumps(document)


def test_redis_is_read_as_feast_reads_it_and_gives_the_same_vectors(
    pupils: list[Masked], redis: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = Published.of(definitions, pupils, tmp_path / "published", redis)
    published.materialize()
    assert_read_as_feast_does(published, pupils, redis)
    assert_same_vectors(redis, monkeypatch)


def test_a_service_without_a_store_or_with_one_that_is_gone_answers_full_records_and_refuses_ids(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    raw = documents("mathematics", 1)[0]
    whole = Request.model_validate_json(_json({key: raw[key] for key in ("course", "registration", "reports")}))
    by_id = Request(course="mathematics", student_id=raw["student_id"])
    for address in (None, f"sqlite://{tmp_path}/gone.db", f"redis://127.0.0.1:{free_port()}"):
        if address is None:
            monkeypatch.delenv("BAKEHOUSE_STATE")
        else:
            monkeypatch.setenv(ADDRESS_VARIABLE, address)
            monkeypatch.setenv(KEY_VARIABLE, KEY)
        answering = service()
        assert answering.arrays([whole])["late"].all()
        with pytest.raises(RefusedError) as refused:
            answering.arrays([by_id])
        assert refused.value.status == 503


def test_an_address_that_feast_can_not_write_to_is_said_before_anything_is_published(
    pupils: list[Masked], tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match="neither sqlite:///FILE nor redis://"):
        Published.of(definitions, pupils, tmp_path / "published", "ftp://store")


def test_no_password_of_the_store_is_written_down(pupils: list[Masked], redis: str, tmp_path: Path) -> None:
    """Redis would refuse one that it does not know, so it is given one for as long as the test lasts."""
    client = RedisClient(redis)
    client.pipeline([(b"ACL", b"SETUSER", b"ada", b"on", f">{PASSWORD}".encode(), b"~*", b"+@all")])
    address = redis.replace("//", f"//ada:{PASSWORD}@")
    Published.of(definitions, pupils[:3], tmp_path / "published", address).materialize()
    assert open_online_store(address, views.PROJECT).read(views.VIEWS, [asked(pupils[0])])[0]["registration"]
    for file in (tmp_path / "published").iterdir():
        assert PASSWORD.encode() not in file.read_bytes(), file.name
    client.pipeline([(b"ACL", b"DELUSER", b"ada")])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_release_leaves_the_store_where_services_and_feasts_own_commands_find_it(state: Path, tmp_path: Path) -> None:
    publish(load_room("students"), write_masked(tmp_path / "masked.ndjson", documents("mathematics", 5)))
    kept = set(contents(state / "feature_store" / "students"))
    assert kept == {"feature_store.yaml", "online.db", "registration.parquet", "registry.db", "reports.parquet"}


def test_what_was_known_is_handed_on_without_a_byte_of_the_store_that_services_read(
    state: Path, tmp_path: Path
) -> None:
    """Neither of one that is not there yet, nor of one that knows other grades of the same pupils."""
    raw, room, kept = documents("mathematics", 5), load_room("students"), state / "feature_store" / "students"
    masked = write_masked(tmp_path / "masked.ndjson", raw)
    known = ndjson.read(as_known(room, masked, tmp_path), Masked)
    assert [len(pupil.reports) for pupil in known] == [0, 2] * 5
    assert not kept.exists()
    publish(room, masked)
    before = contents(kept)
    for document in raw:
        document["reports"][1]["grade"] = 20 - document["reports"][1]["grade"]
    other = write_masked(tmp_path / "other.ndjson", raw)
    as_known(room, other, tmp_path)
    assert contents(kept) == before
    publish(room, other)
    assert contents(kept)["online.db"] != before["online.db"]


def test_a_release_whose_features_the_online_store_does_not_take_says_so(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ADDRESS_VARIABLE, f"redis://127.0.0.1:{free_port()}")
    masked = write_masked(tmp_path / "masked.ndjson", documents("mathematics", 5))
    with pytest.raises(DataError, match="is released, but the online store did not take its features"):
        publish(load_room("students"), masked)
    assert not (state / "feature_store").exists()


def test_a_room_without_a_feature_store_hands_on_the_records_as_they_are(tmp_path: Path) -> None:
    masked = tmp_path / "masked.ndjson"
    assert as_known(load_room("orders"), masked, tmp_path) == masked
    publish(load_room("orders"), masked)
