"""A crossing can be carried to another process; a real guest's crossings are in `runtime/test_guest.py`."""

from __future__ import annotations

import pickle

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from adapters.observe import Crossing, Direction

crossings = st.builds(
    Crossing,
    st.text(max_size=10),
    st.sampled_from(Direction),
    st.text(max_size=10),
    st.binary(max_size=20),
    st.integers(0, 2**63 - 1),
)


@given(crossings)
def test_a_crossing_survives_json_and_pickle(crossing: Crossing) -> None:
    assert msgspec.json.decode(msgspec.json.encode(crossing), type=Crossing) == crossing
    assert pickle.loads(pickle.dumps(crossing)) == crossing
