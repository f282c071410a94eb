"""Tensors that live at the same time do not overlap."""
from hypothesis import given
from hypothesis import strategies as st

from tinyvgg.codegen.arena import Tensor, place

LIVES = st.lists(st.tuples(st.integers(1, 100), st.integers(0, 9), st.integers(0, 4)), min_size=1, max_size=12)


@given(LIVES)
def test_no_overlap(lives):
    tensors = [Tensor(str(i), size, born, born + length) for i, (size, born, length) in enumerate(lives)]
    offsets, total = place(tensors, first="0")
    assert offsets["0"] == 0
    for t in tensors:
        assert offsets[t.name] % 8 == 0 and offsets[t.name] + t.size <= total
        for u in tensors:
            if t is not u and t.born <= u.died and u.born <= t.died:
                assert offsets[t.name] + t.size <= offsets[u.name] or offsets[u.name] + u.size <= offsets[t.name]
