"""Reading Feast's online store without Feast: its bytes, and what is said where there are none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import mmh3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakehouse.errors import ConfigurationError, DataError
from bentos.common.online_store import entity_key, online_address, open_online_store, value
from bentos.common.redis_client import murmur3
from bentos.common.runtime import runtime

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
SCALARS = st.one_of(
    st.tuples(st.just("string_val"), TEXT),
    st.tuples(st.just("int32_val"), st.integers(-(2**31), 2**31 - 1)),
    st.tuples(st.just("int64_val"), st.integers(-(2**63), 2**63 - 1)),
    st.tuples(st.just("double_val"), st.floats(allow_nan=False)),
    st.tuples(st.just("float_val"), st.floats(width=32, allow_nan=False)),
    st.tuples(st.just("bool_val"), st.booleans()),
)


@given(SCALARS)
def test_a_scalar_is_read_as_feasts_own_message_says_it(scalar: tuple[str, Any]) -> None:
    from feast.protos.feast.types.Value_pb2 import Value

    name, content = scalar
    found = value(Value(**{name: content}).SerializeToString())
    assert found == content
    assert type(found) is type(content)


def test_nothing_is_null() -> None:
    from feast.protos.feast.types.Value_pb2 import Value

    assert value(Value().SerializeToString()) is None


def test_a_value_that_is_no_scalar_or_no_message_is_said() -> None:
    from feast.protos.feast.types.Value_pb2 import Int64List, Value

    with pytest.raises(DataError, match="no text, number or truth"):
        value(Value(int64_list_val=Int64List(val=[1, 2])).SerializeToString())
    for broken in (b"\x20", b"\x29\x00", b"\x12\x02\xff\xfe"):
        with pytest.raises(DataError, match="none of Feast's"):
            value(broken)


@given(st.dictionaries(TEXT, TEXT, min_size=1, max_size=3))
def test_an_entitys_key_is_feasts_own_to_the_byte(entity: dict[str, str]) -> None:
    from feast.infra.key_encoding_utils import serialize_entity_key
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    values = [Value(string_val=content) for content in entity.values()]
    wanted = serialize_entity_key(EntityKey(join_keys=list(entity), entity_values=values), 3)
    assert entity_key(entity) == wanted


@given(st.binary(max_size=80))
def test_the_hash_that_names_redis_fields_is_murmur3(content: bytes) -> None:
    assert murmur3(content) == mmh3.hash(content, signed=False)


def test_the_store_is_the_one_that_is_named_else_the_file_in_the_state_folder_else_none(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert online_address("cakes") == f"sqlite://{state}/feature_store/cakes/online.db"
    monkeypatch.setenv("BAKEHOUSE_ONLINE_STORE", "redis://store.example:6379/1")
    assert online_address("cakes") == "redis://store.example:6379/1"
    monkeypatch.delenv("BAKEHOUSE_ONLINE_STORE")
    monkeypatch.delenv("BAKEHOUSE_STATE")
    assert online_address("cakes") is None


@pytest.mark.parametrize("address", ["postgresql://store/1", "sqlite://", "redis:///1", "nonsense"])
def test_an_address_that_names_no_store_is_an_error_without_repeating_it(address: str) -> None:
    with pytest.raises(ConfigurationError, match="neither sqlite:///FILE nor redis://") as error:
        open_online_store(address, "cakes")
    assert "nonsense" not in str(error.value) and "postgresql" not in str(error.value)


def test_a_store_that_was_never_written_is_said_and_is_read_once_it_was(tmp_path: Path) -> None:
    import sqlite3

    path = tmp_path / "online.db"
    store = open_online_store(f"sqlite://{path}", "bakery")
    with pytest.raises(DataError, match="Publish the features"):
        store.read({"taste": ("sweet",)}, [{"cake": "a"}])
    assert not path.exists()
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE bakery_taste (entity_key BLOB, feature_name TEXT, value BLOB)")
        database.execute("INSERT INTO bakery_taste VALUES (?, 'sweet', ?)", (entity_key({"cake": "a"}), b"\x38\x01"))
    database.close()
    read = store.read({"taste": ("sweet", "sour")}, [{"cake": "a"}, {"cake": "b"}])
    assert read == [{"taste": {"sweet": True, "sour": None}}, {"taste": None}]


def test_no_service_holds_feast_and_the_one_with_a_store_needs_no_library_that_another_does_not(checkout: Path) -> None:
    """The room with a feature store brings a few modules of ours; the other rooms bring none of them."""
    needed = {model: runtime(Path("bentos", model, "service.py"), checkout) for model in ("orders", "students")}
    libraries = {model: {found.name for found in held.distributions} for model, held in needed.items()}
    assert libraries["students"] == libraries["orders"]
    assert "feast" not in libraries["students"]
    modules = {model: {path.stem for path in held.modules} for model, held in needed.items()}
    store = {"online_store", "online_lookup", "redis_client", "views"}
    assert store <= modules["students"] and not store & modules["orders"]
    assert "definitions" not in modules["students"]


@pytest.mark.parametrize("module", ["bentos.students.service", "steps.split", "bentos.common.feature_store"])
def test_feast_is_not_imported_before_a_room_with_a_store_is_trained(module: str, checkout: Path) -> None:
    code = f"import sys, {module}; sys.exit(bool({{'feast', 'dask', 'redis'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=checkout, check=False).returncode == 0
