"""What `bakehouse data` says of two data versions, and what it hands out of one, with real samples and real DVC."""

from __future__ import annotations

import json
import re
import shutil
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from gitops.promotion import commit_release
from gitops.release import Data
from gitops.repository import GitopsRepository
from steps import data_versions
from steps.data_versions import DataVersion
from tests.conftest import Asked
from tests.gitops_world import World, release


@pytest.fixture
def batches(checkout: Path) -> Sequence[Path]:
    return sorted((checkout / "data/orders").glob("batch-*.ndjson"))


@pytest.fixture
def released(
    world: World, batches: Sequence[Path], checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[DataVersion, DataVersion]:
    """Model version 1 learnt from the first batch and is in production, 2 from the first two and is in staging."""
    repository = GitopsRepository.open()
    kept = []
    for version, environment in ((1, "production"), (2, "staging")):
        data = data_versions.keep("orders", batches[:version])
        bound = Data(version=data.version, files=data.files, documents=data.documents, accepted=data.documents)
        commit_release(repository, environment, release(version).model_copy(update={"data": bound}))
        kept.append(data)
    monkeypatch.setenv("BAKEHOUSE_ROOT", str(checkout))
    return kept[0], kept[1]


def test_a_batch_more_is_told_by_its_files_records_acceptance_and_distributions(
    released: tuple[DataVersion, DataVersion], bakehouse: Asked
) -> None:
    said = bakehouse.json("data", "diff", "orders@production", "orders@staging")
    assert [said[side]["version"] for side in ("old", "new")] == [data.version for data in released]
    assert said["files"] == {"batch-2.ndjson": "added"}
    assert said["records"] == {"added": 75, "removed": 0, "changed": 0, "same": 298}
    assert [said[side]["acceptance"]["documents"] for side in ("old", "new")] == [310, 418]
    assert [round(said[side]["acceptance"]["acceptance_rate"], 3) for side in ("old", "new")] == [0.961, 0.892]
    filled = {field["name"]: (round(field["old_filled"], 3), round(field["new_filled"], 3)) for field in said["fields"]}
    assert filled["customer"] == (0.963, 0.941)
    assert {shift["name"] for shift in said["shifts"]} >= {"country", "lines", "lines[].quantity", "note"}
    assert not [shift for shift in said["shifts"] if shift["verdict"]]


def test_the_other_way_round_what_was_added_is_removed(
    released: tuple[DataVersion, DataVersion], bakehouse: Asked
) -> None:
    said = bakehouse.json("data", "diff", released[1].version[:8], "1")
    assert said["files"] == {"batch-2.ndjson": "removed"}
    assert (said["records"]["added"], said["records"]["removed"]) == (0, 75)


def test_a_reader_gets_the_same_in_a_few_tables(released: tuple[DataVersion, DataVersion], bakehouse: Asked) -> None:
    said = bakehouse("data", "diff", "1", "orders@staging")
    assert "batch-2.ndjson added" in said
    assert "Records by id: 75 added, 0 removed, 0 changed, 298 the same." in said
    assert re.search(r"^acceptance rate +96\.1% +89\.2%$", said, re.MULTILINE)
    assert re.search(r"^refused, \(document\): must name a customer or a price.* 12 +45$", said, re.MULTILINE)


def test_the_same_data_under_two_names_is_said_to_be_the_same(
    released: tuple[DataVersion, DataVersion], bakehouse: Asked
) -> None:
    same = bakehouse("data", "diff", "orders@1", "production")
    assert same.strip() == f"orders@1 and production are the same data version, {released[0].version}."


def test_prices_in_another_currency_are_a_large_shift_and_a_lost_field_is_named(
    released: tuple[DataVersion, DataVersion], batches: Sequence[Path], tmp_path: Path, bakehouse: Asked
) -> None:
    """What a person asks when an upstream change came silently: the same orders, said otherwise."""
    changed = tmp_path / "batch-1.ndjson"
    with changed.open("w") as lines:
        for line in batches[0].read_text().splitlines():
            order = json.loads(line)
            order.pop("note", None)
            for one in order["lines"]:
                one["unit_price"] = round(one["unit_price"] * 100, 2)
            lines.write(json.dumps(order) + "\n")
    other = data_versions.keep("orders", [changed])
    said = bakehouse.json("data", "diff", "orders@1", other.version)
    assert said["files"] == {"batch-1.ndjson": "changed"}
    assert said["records"] == {"added": 0, "removed": 0, "changed": 298, "same": 0}
    shifts = {shift["name"]: shift["verdict"] for shift in said["shifts"]}
    assert shifts["lines[].unit_price"] == "large"
    assert not shifts["lines[].quantity"]
    (note,) = [field for field in said["fields"] if field["name"] == "note"]
    assert (note["old_types"], note["new_types"], note["new_filled"]) == (["string"], [], 0)


def test_no_value_of_any_record_is_in_the_answer(
    released: tuple[DataVersion, DataVersion], batches: Sequence[Path], tmp_path: Path, bakehouse: Asked
) -> None:
    """Canaries in every field that a person can be known by, in accepted and in refused records, and in their ids."""
    order = json.loads(batches[0].read_text().splitlines()[0])
    person = {"id": "CANARY-ID", "name": "Canary Name", "email": "canary@example.com", "phone": "+44 7700 900999"}
    address = {"street": "1 Canary Street", "city": "Canaryton", "postal_code": "CN4 1RY", "country": "Iceland"}
    marked = order | {"order_id": "8765431", "note": "call Canary", "customer": {**person, "address": address}}
    refused = marked | {"order_id": "8765432", "canary": "canary", "currency": "canary@example.com"}
    batch = tmp_path / "more.ndjson"
    batch.write_text("".join(f"{json.dumps(one)}\n" for one in (marked, refused)) + "canary, and no JSON\n")
    other = data_versions.keep("orders", [*batches[:1], batch])
    arguments = ("data", "diff", "orders@1", other.version)
    for said in (bakehouse(*arguments), bakehouse(*arguments, "--json")):
        assert "more.ndjson" in said
        assert not re.search(r"canary|900999|CN4|876543[12]|[a-z]+:[0-9a-f]{32}|Iceland", said, re.IGNORECASE)


def test_a_releases_data_is_handed_out_byte_for_byte_to_its_owner_alone(
    released: tuple[DataVersion, DataVersion], batches: Sequence[Path], tmp_path: Path, bakehouse: Asked
) -> None:
    """By the very command that the lineage prints."""
    (lineage,) = bakehouse.json("lineage", "orders", "--env", "staging")
    (command,) = [part["command"] for part in lineage["parts"] if part["name"] == "data version"]
    folder = tmp_path / "deep" / "again"
    said = bakehouse(*command.replace("FOLDER", str(folder)).split()[1:])
    assert said.split() == [str(folder / batch.name) for batch in batches[:2]]
    assert [file.read_bytes() for file in sorted(folder.iterdir())] == [batch.read_bytes() for batch in batches[:2]]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}
    assert [path.name for path in folder.parent.iterdir()] == ["again"]


def test_data_is_not_handed_out_to_where_git_could_commit_it(
    released: tuple[DataVersion, DataVersion], tmp_path: Path, bakehouse: Asked
) -> None:
    tree = tmp_path / "tree"
    subprocess.run(["git", "init", "--quiet", str(tree)], check=True)
    (tree / ".gitignore").write_text("ignored/\n")
    refusal = bakehouse("data", "checkout", "orders@2", "--to", str(tree / "data" / "again"), code=1)
    assert "lies in a git working tree" in refusal
    assert not (tree / "data").exists()
    bakehouse("data", "checkout", "orders@2", "--to", str(tree / "ignored" / "again"))
    assert len(list((tree / "ignored" / "again").iterdir())) == 2


def test_what_is_in_the_folder_is_never_overwritten(
    released: tuple[DataVersion, DataVersion], tmp_path: Path, bakehouse: Asked
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    assert "not empty" in bakehouse("data", "checkout", "orders@2", "--to", str(tmp_path / "mine"), code=1)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_data_that_is_lost_everywhere_is_said_and_no_folder_is_left(
    released: tuple[DataVersion, DataVersion], state: Path, tmp_path: Path, bakehouse: Asked
) -> None:
    shutil.rmtree(state / "data")
    folder = tmp_path / "out" / "again"
    assert released[1].version in bakehouse("data", "checkout", "orders@2", "--to", str(folder), code=1)
    assert list(folder.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("orders@7", "orders@1", "Model version 7 of orders was never released."),
        ("orders@nowhere", "orders@1", "nowhere is neither a model version nor an environment (production, staging)."),
        ("ffffffff", "orders@1", "No data version known here begins with ffffffff."),
        ("1", "2", "2 does not say of which model."),
        ("sentiment@staging", "orders@1", "staging has no release of sentiment."),
    ],
)
def test_what_names_no_data_version_is_said(
    old: str, new: str, said: str, released: tuple[DataVersion, DataVersion], bakehouse: Asked
) -> None:
    refusal = bakehouse("data", "diff", old, new, code=1)
    assert said in refusal
    assert "Traceback" not in refusal


def test_data_of_two_models_is_not_compared(
    released: tuple[DataVersion, DataVersion], checkout: Path, bakehouse: Asked
) -> None:
    other = data_versions.keep("sentiment", [checkout / "data/sentiment/batch-2.ndjson"])
    assert "are data of two models" in bakehouse("data", "diff", "orders@1", other.version, code=1)
