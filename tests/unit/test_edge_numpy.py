"""The page's stand-in for numpy against numpy itself: the features of every room."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bentos.common.edge_package import write_code
from bentos.common.edge_page import copy_python
from bentos.common.room import load_room, rooms

CHECKOUT = Path(__file__).resolve().parents[2]
PROGRAM = """
import json, sys
from pathlib import Path
folder = Path(sys.argv[1])
sys.path[:0] = [str(folder / "page" / "python"), sys.argv[3]]
import numpy
assert "page" in numpy.__file__
from run import Code, room
code = Code(folder / "code")
asked = room(code, sys.argv[2])
requests = code.module("pydantic").TypeAdapter(list[asked.request]).validate_json(sys.stdin.buffer.read())
arrays = asked.arrays(requests)
print(json.dumps({name: [it.dtype.name, it.shape, it.tolist()] for name, it in arrays.items()}))
"""


@pytest.mark.parametrize("name", rooms(CHECKOUT))
def test_the_stand_in_gives_the_same_features(name: str, tmp_path: Path) -> None:
    """The same names, types and shapes, and values that differ by no more than single precision's last bit."""
    write_code(CHECKOUT, name, tmp_path / "code")
    copy_python(tmp_path / "page" / "python")
    room = load_room(name, CHECKOUT)
    examples = [room.contract.EXAMPLE] * 2
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", PROGRAM, tmp_path, name, CHECKOUT / "bentos/common/edge"],
        input=json.dumps(examples).encode(),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    expected = room.features.arrays([room.contract.Request.model_validate_json(json.dumps(it)) for it in examples])
    found = json.loads(done.stdout)
    assert found.keys() == expected.keys()
    for key, (kind, shape, values) in found.items():
        assert (kind, tuple(shape)) == (expected[key].dtype.name, expected[key].shape)
        if expected[key].dtype.kind == "f":
            np.testing.assert_allclose(np.array(values), expected[key], rtol=2e-7, atol=1e-7)
        else:
            assert values == expected[key].tolist()
