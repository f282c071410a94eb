"""Codebooks against brute force and against Lloyd; packing; X-CUBE-AI's bytes, read again by the reader of its layout."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyvgg import models
from tinyvgg.errors import NotYet, OptionError, QuantError
from tinyvgg.quant.blob import weight_bytes, weights_blob
from tinyvgg.quant.kmeans1d import lloyd, nearest, optimal_codebook, optimal_integer_codebook, squared_error
from tinyvgg.quant.packing import pack_bits, packed_size, unpack_bits
from tinyvgg.quant.schemes import FLOAT, compress, constants
from tinyvgg.quant.sharing import share_float, sharer

BYTES = {"none": 5_372_584, "low": 2_228_904, "medium": 1_702_696, "high": 1_702_696}  # X-CUBE-AI 10.2's reports of base


def brute_force(x, k):
    """Every way to cut the sorted values into k runs."""
    x, least = np.sort(x), np.inf
    for cuts in itertools.combinations(range(1, len(x)), min(k, len(x)) - 1):
        edges = [0, *cuts, len(x)]
        least = min(least, sum(((x[a:b] - x[a:b].mean()) ** 2).sum() for a, b in itertools.pairwise(edges)))
    return least


values = st.lists(st.one_of(st.integers(-4, 4).map(float), st.floats(-3, 3, width=32)), min_size=1, max_size=9)


@settings(max_examples=150, deadline=None)
@given(values, st.integers(1, 5))
def test_optimal_is_brute_force(x, k):
    book = optimal_codebook(x, k)
    assert len(book) <= k and (np.diff(book) > 0).all()
    assert squared_error(x, book) == pytest.approx(brute_force(np.array(x), k), abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(values, st.integers(1, 3), st.booleans())
def test_optimal_integers_are_brute_force(x, k, zero):
    book = optimal_integer_codebook(x, k, low=-4, high=4, must_hold_zero=zero)
    choices = [c for j in range(1, k + 1) for c in itertools.combinations(range(-4, 5), j) if 0 in c or not zero]
    assert squared_error(x, book) == pytest.approx(min(squared_error(x, c) for c in choices), abs=1e-9)
    assert not zero or 0 in book


@pytest.mark.parametrize("k", [4, 16, 256])
@pytest.mark.parametrize("shape", ["normal", "laplace", "even"])
def test_never_above_lloyd(k, shape):
    generator = np.random.default_rng(k)
    x = {"normal": generator.normal(size=20_000), "laplace": generator.laplace(size=20_000), "even": np.arange(3000.0)}[shape]
    best = squared_error(x, optimal_codebook(x, k))
    for _ in range(20):
        assert best <= squared_error(x, lloyd(x, generator.choice(x, k, replace=False), 30)) * (1 + 1e-9)


def test_evenly_spaced_values_have_a_known_answer():
    """All prices tie here, so paths of fewer and more links are spliced: runs of n or n + 1, sum n (n^2 - 1) / 12."""
    n, k = 5000, 37
    short, longer = divmod(n, k)
    expected = sum(m * (m * m - 1) / 12 for m in [short + 1] * longer + [short] * (k - longer))
    assert squared_error(np.arange(float(n)), optimal_codebook(np.arange(float(n)), k)) == pytest.approx(expected, rel=1e-12)


def test_a_large_layer_is_quick_and_better_than_lloyd():
    x = np.random.default_rng(0).normal(size=2**17).astype(np.float32)
    book = optimal_codebook(x, 256)
    assert squared_error(x, book) < squared_error(x, lloyd(x, book, 3)) * (1 + 1e-9)


@pytest.mark.parametrize("bad", [[], [np.nan], [1, np.inf]])
def test_values_that_no_codebook_fits(bad):
    for function in (optimal_codebook, optimal_integer_codebook):
        with pytest.raises(QuantError, match="finite"):
            function(bad, 2)
    with pytest.raises(OptionError, match="0 entries"):
        optimal_codebook([1.0], 0)


@given(st.integers(1, 8), st.integers(1, 70), st.integers(0, 2**16))
def test_packing(bits, count, seed):
    indices = np.random.default_rng(seed).integers(0, 2**bits, count).astype(np.uint8)
    packed = pack_bits(indices, bits)
    assert packed.shape == (packed_size(count, bits),)
    assert (unpack_bits(packed, bits, count) == indices).all()
    joined = "".join(f"{i:0{bits}b}" for i in indices)
    assert packed.tobytes() == int(joined.ljust(8 * len(packed), "0"), 2).to_bytes(len(packed), "big")


@pytest.mark.parametrize("per", ["layer", "channel"])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_shared_weights_are_the_nearest_entries(bits, per):
    weights = np.random.default_rng(0).normal(size=(6, 3, 3, 5)).astype(np.float32) * np.arange(1, 7).reshape(-1, 1, 1, 1).astype(
        np.float32
    )
    shared = share_float(weights, bits, per=per)
    got = shared.expand()
    books = [shared.codebook] * 6 if per == "layer" else shared.codebook
    for row, expanded, book in zip(weights, got, books, strict=True):
        assert (np.abs(row - expanded) == np.abs(row[..., None] - book).min(axis=-1)).all()
    assert weight_bytes(shared) == packed_size(weights.size, bits) + 4 * shared.codebook.size

    class Op:
        name = "op"

    op = Op()
    op.weights = weights
    integer, scale = sharer(bits, per=per)(op, np.zeros(6))
    assert integer.codebook.dtype == np.int8 and integer.codebook.shape[-1] <= 2**bits
    units = weights / scale.reshape(-1, 1, 1, 1)
    assert np.abs(integer.expand() - units).mean() < np.abs(units).mean() / 2 ** (bits - 1) + 0.5


@pytest.fixture(scope="module")
def base():
    return models.base()


def test_high_shares_as_medium_does():
    """So the usual run takes the bytes of medium alone."""
    assert FLOAT["high"] == FLOAT["medium"] != FLOAT["low"] and BYTES["high"] == BYTES["medium"] != BYTES["low"]


@pytest.mark.parametrize("scheme", [pytest.param(name, marks=[pytest.mark.slow] * (name == "high")) for name in BYTES])
def test_base_takes_the_bytes_of_x_cube_ai(base, scheme):
    """And ST's layout is read again by the reader that was written from ST's own output."""
    from tinyvgg.xcubeai.lut import decode_lut, dense_kernel

    model = compress(base, scheme)
    blob, sections = weights_blob(model.graph)
    assert len(blob) == constants(model) == BYTES[scheme] == sum(s.size for s in sections)
    ops = {op.name: op for op in model.graph.ops}
    for section in (s for s in sections if s.tensor == "weights"):
        op, data = ops[section.op], blob[section.offset : section.offset + section.size]
        expected = op.weights if section.bits == 32 else op.weights.expand()
        if section.bits == 32:
            assert (np.frombuffer(data, "<f4").reshape(op.weights.shape) == expected).all()
        else:
            decoded = decode_lut(data, section.items, section.bits)
            outputs, inputs = op.weights.shape
            assert (dense_kernel(decoded.values, inputs, outputs) == expected.T).all()
            original = next(layer for layer in base.layers if layer.name == section.op).parameters["kernel"]
            assert (decoded.indices == nearest(original.T.reshape(-1), decoded.codebook)).mean() > 0.9999
    assert {s.op for s in sections if s.bits != 32} == (set() if scheme == "none" else {"dense", "dense_1"})


def test_layouts_that_st_has_not():
    model = compress(models.resnet8(), "shared3", codebook="float")
    with pytest.raises(NotYet, match="3 bits"):
        weights_blob(model.graph)
