"""The students model from raw pupils to an answer by id: trained on what the store knew, released, and served."""

from __future__ import annotations

import json
from pathlib import Path

import httpx

from bakehouse import archives, workspace
from gitops.history import champion
from gitops.repository import GitopsRepository
from tests.e2e.conftest import Train
from tests.masked_students import documents
from tests.served import serve


def test_pupils_are_trained_on_released_and_answered_for_by_id_as_in_full(
    train: Train, checkout: Path, state: Path, tmp_path: Path
) -> None:
    """One run publishes the features that the service then looks up, under the same masking key; another one, which is
    refused, changes none of them. Nobody's id, name or answers are in the answer, the release or the prediction log."""
    batches = sorted((checkout / "data/students").glob("*.ndjson"))
    ended = train(*batches, model="students", trials=3)
    assert ended.code == 0, ended.output
    release = champion(GitopsRepository.open(), "staging", "students")
    assert release is not None
    assert release.data.accepted == 1043
    assert {"early_rmse", "late_rmse", "fairness_late_mean_error_gap"} <= set(release.evidence.metrics)

    store = state / "feature_store" / "students"
    before = {path.name: path.read_bytes() for path in store.iterdir()}
    assert "online.db" in before
    refused = train(*unacceptable(tmp_path), model="students", trials=1)
    assert refused.code != 0 and "acceptance_rate missed" in refused.output, refused.output
    assert {path.name: path.read_bytes() for path in store.iterdir()} == before

    archive = workspace.images() / f"{release.image.digest.removeprefix('sha256:')}.bento"
    bento = archives.unpack(archive, release.image.digest, tmp_path / "bento")
    log = tmp_path / "predictions"
    with serve(bento, tmp_path / "home", BAKEHOUSE_PREDICTION_LOG=str(log)) as served:
        raw = documents("portuguese", 6)
        whole = [{name: one[name] for name in ("course", "registration", "reports")} for one in raw]
        by_id = [{name: one[name] for name in ("course", "student_id")} for one in raw]
        early = [{**one, "reports": []} for one in whole]
        answers = [httpx.post(f"{served.url}/predict", json=asked, timeout=30) for asked in (whole, by_id, early)]
        assert [answer.status_code for answer in answers] == [200, 200, 200], answers[1].text
        assert answers[0].json() == answers[1].json()
        assert {one["grade"]["variant"] for one in answers[1].json()} == {"late"}
        assert {one["grade"]["variant"] for one in answers[2].json()} == {"early"}
        assert [one["enrolment"] for one in answers[2].json()] == [one["enrolment"] for one in answers[0].json()]
        unknown = httpx.post(f"{served.url}/predict", json={"course": "portuguese", "student_id": "S99999"}, timeout=30)
        assert (unknown.status_code, unknown.json()["problems"][0]["field"]) == (404, "student_id")
    logged = "".join(path.read_text() for path in log.iterdir())
    assert len(logged.splitlines()) == 3 * len(raw)
    assert logged.count('"student_id":"student:') == len(by_id)
    assert not [one["student_id"] for one in raw if one["student_id"] in logged + answers[1].text]
    assert "registration" not in logged and "mother_job" not in logged


def unacceptable(folder: Path) -> list[Path]:
    """Both courses with every second grade turned round, and with more that is no document than a release may have."""
    batches = []
    for course in ("mathematics", "portuguese"):
        raw = documents(course)
        for document in raw:
            document["reports"][1]["grade"] = 20 - document["reports"][1]["grade"]
        batches.append(folder / f"{course}.ndjson")
        lines = [json.dumps(document) for document in raw] + ["{}"] * (len(raw) // 20)
        batches[-1].write_text("\n".join(lines) + "\n")
    return batches
