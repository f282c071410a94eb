"""Weights stored by a prefix code: the code, the choice of values, the budget, the file."""
import heapq

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.quant.networks import small
from tinyvgg.errors import BudgetError, FormatError, NotYet, OptionError
from tinyvgg.faults.store import FileStore
from tinyvgg.quant.coded import Layer
from tinyvgg.quant.kmeans1d import cheapest
from tinyvgg.quant.ops.weights import CodedWeights
from tinyvgg.quant.prefix import LONGEST, check_lengths, code_lengths, coded_bits, decode, encode
from tinyvgg.quant.schemes import compress, constants
from tinyvgg.quant.tvq import graph_sha256, load_tvq


def huffman_bits(counts):
    """Bits of Huffman's code without a limit: the sums of what is merged."""
    heap, bits = [max(1, c) for c in counts], 0
    heapq.heapify(heap)
    while len(heap) > 1:
        both = heapq.heappop(heap) + heapq.heappop(heap)
        bits += both
        heapq.heappush(heap, both)
    return bits


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=2, max_size=60))
def test_codes_are_the_shortest(counts):
    lengths = code_lengths(counts)
    check_lengths(lengths)
    assert sum(max(1, c) * int(n) for c, n in zip(counts, lengths, strict=True)) == huffman_bits(counts)     # none needs more than 10 bits


def test_long_codes_are_cut():
    counts = [2**k for k in range(16)]
    lengths = code_lengths(counts)
    check_lengths(lengths)
    assert lengths.max() == LONGEST and huffman_bits(counts) < coded_bits(np.repeat(np.arange(16), counts), lengths)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=300), st.integers(2, 31))
def test_streams_come_back(symbols, most):
    x = np.array(symbols) % most
    lengths = code_lengths(np.bincount(x, minlength=most))
    stream = encode(x, lengths)
    assert np.array_equal(decode(stream, lengths, len(x)), x) and len(stream) % 2 == 0
    with pytest.raises(FormatError):
        decode(np.append(stream, [0, 0]).astype(np.uint8), lengths, len(x))
    with pytest.raises(FormatError):
        decode(stream[:-2], lengths, len(x))


@pytest.mark.parametrize("lengths", [[1, 1, 1], [1, 2], [0, 1], [11, 1], [1]])
def test_codes_that_are_none_are_refused(lengths):
    with pytest.raises(FormatError, match="prefix code"):
        decode(np.zeros(2, np.uint8), np.array(lengths, np.uint8), 3)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**16))
def test_cheapest_is_the_cheapest(seed):
    r = np.random.default_rng(seed)
    book, costs, x = np.sort(r.integers(-20, 20, 9)), r.exponential(20, 9), r.normal(0, 12, 200)
    each = (x[:, None] - book) ** 2 + costs
    assert np.allclose(each[np.arange(200), cheapest(x, book, costs)], each.min(axis=1))


def test_dearer_bits_are_fewer():
    layer = Layer.of_units(np.random.default_rng(0).laplace(0, 12, (40, 50)))
    sizes, errors = zip(*((layer.bytes(p), layer.error(p)) for p in (1.0, 10.0, 100.0, 1000.0)), strict=True)
    assert list(sizes) == sorted(sizes, reverse=True) and list(errors) == sorted(errors) and len(set(sizes)) == 4
    book, lengths = layer.book(100.0)
    assert 0 in book and (np.diff(book.astype(int)) > 0).all() and len(lengths) == len(book)


@pytest.fixture(scope="module")
def coded():
    model = small()
    x = np.random.default_rng(0).integers(0, 256, (64, 8, 8, 3), dtype=np.uint8)
    y = np.arange(64) % 4
    full = constants(compress(model, "int8", x, calibration="minmax"))
    return model, x, y, int(0.75 * full)


@pytest.fixture(scope="module")
def squeezed(coded):
    """The network of `coded` within its budget."""
    model, x, y, flash = coded
    return compress(model, "coded", x, y, flash=flash, calibration="minmax")


def test_the_budget_is_met_and_used(coded, squeezed):
    model, x, y, flash = coded
    for q in (squeezed, compress(model, "coded", x, y, flash=flash, calibration="minmax", epochs=1)):
        assert 0.98 * flash < constants(q) <= flash and q.graph.facts["scheme"] == "coded"
        assert any(isinstance(op.weights, CodedWeights) for op in q.graph.ops if hasattr(op, "weights"))


def test_impossible_budgets_and_options_are_refused(coded):
    model, x, _, _ = coded
    with pytest.raises(BudgetError, match="the least is"):
        compress(model, "coded", x, flash=100, calibration="minmax")
    for options in ({}, {"flash": 5000, "per": "channel"}, {"flash": 5000, "max_drop": 1.0}, {"flash": 5000, "codebook": "float"}):
        with pytest.raises(OptionError):
            compress(model, "coded", x, calibration="minmax", **options)


def test_files_come_back_and_damage_is_refused(coded, squeezed, tmp_path):
    q, x = squeezed, coded[1]
    path = tmp_path / "coded.tvq"
    q.save(path)
    read = load_tvq(path)
    assert graph_sha256(read.graph) == graph_sha256(q.graph) and np.array_equal(read.integer_logits(x), q.integer_logits(x))
    with h5py.File(path) as f:
        streams = [n for n, a in f["graph/arrays"].items() if a.dtype == np.uint8 and a.size > 200]
    assert streams
    for damage in (lambda a: a ^ 1, lambda a: a * 0, lambda a: a | 255):
        q.save(path)
        with h5py.File(path, "r+") as f:
            f[f"graph/arrays/{streams[0]}"][...] = damage(f[f"graph/arrays/{streams[0]}"][...])
        with pytest.raises(FormatError):
            load_tvq(path)


def test_flips_of_coded_weights_are_refused(squeezed):
    with pytest.raises(NotYet, match="prefix code"):
        FileStore(squeezed.graph)
