"""The bits of one array that are worth trying, best first by the sum of their gains."""
import numpy as np

from tinyvgg.faults.bits import width
from tinyvgg.faults.gains import gains

SMALL = 512                 # bits of an array without slopes (shifts) that are all tried


def candidates(store, slopes, key, *, fault="flip", count=1, in_double_word=False, trials=3, only_bits=None):
    """Return lists of (key, index, bit) to flip together.

    count: bits flipped together: the `count` best of the array or, with `in_double_word`, of each aligned 64-bit word. trials:
    how many lists to return, None for all. With the fault zero_dword a list holds all bits of a double word that are 1.
    """
    if fault == "zero_dword":
        return _zeroed(store, slopes, key, trials)
    found = gains(store, slopes, key, fault)
    ranked = key in slopes or key.endswith("/indices")
    if not ranked:
        found = _all_alike(store, key, fault) if store.count_bits([key]) <= SMALL else found
    if only_bits is not None:
        others = [b for b in range(found.shape[1]) if b not in set(only_bits)]
        found[:, others] = -np.inf
    if in_double_word:
        return [[(key, *place) for place in places] for places in _by_word(store, key, found, count, trials)]
    columns = found.shape[1]
    order = _best(found.reshape(-1), None if trials is None or not ranked else trials + count - 1)
    places = [(key, int(i // columns), int(i % columns)) for i in order]
    if count == 1:
        return [[place] for place in places]
    many = len(places) - count + 1 if trials is None else trials
    return [places[:count - 1] + [last] for last in places[count - 1:count - 1 + many]]


def _all_alike(store, key, fault):
    """Gains of 0 for every bit that may be flipped, where no gradient tells them apart."""
    return np.where(np.isfinite(gains(store, {key: np.zeros(store.arrays[key].shape)}, key, fault)), 0.0, -np.inf)


def _best(flat, count):
    """Indices of the `count` largest finite values (None for all), largest first, then lowest index."""
    finite = np.flatnonzero(np.isfinite(flat))
    if count is not None and len(finite) > 4 * count:
        limit = np.partition(flat[finite], -count)[-count]
        finite = finite[flat[finite] >= limit]
    order = finite[np.argsort(-flat[finite], kind="stable")]
    return order if count is None else order[:count]


def _words_of(store, key, values):
    """values (n, k) as (double words, 64 / bits a number, k), padded with -inf."""
    numbers = max(64 // width(store.arrays[key]), 1)
    padded = np.full((-(-len(values) // numbers) * numbers, values.shape[1]), -np.inf)
    padded[:len(values)] = values
    return padded.reshape(-1, numbers, values.shape[1]), numbers


def _by_word(store, key, found, count, trials):
    """The `count` best bits of each double word, the best words first."""
    words, numbers = _words_of(store, key, found)
    rows = words.reshape(len(words), -1)
    if rows.shape[1] < count:
        return []
    chosen = np.argpartition(-rows, count - 1, axis=1)[:, :count]
    total = np.take_along_axis(rows, chosen, axis=1).sum(axis=1)
    columns = found.shape[1]
    return [[(int(w * numbers + i // columns), int(i % columns)) for i in sorted(chosen[w])] for w in _best(total, trials)]


def _zeroed(store, slopes, key, trials):
    """All bits that are 1 of each double word, ranked by the slopes times what the numbers lose."""
    array = store.arrays[key].reshape(-1)
    if key not in slopes or key.endswith("/indices"):
        return []
    with np.errstate(all="ignore"):
        lost = np.nan_to_num(-slopes[key].reshape(-1, 1).astype(np.float64) * array[:, None])
    ones = np.isfinite(gains(store, slopes, key, "clear"))
    words, numbers = _words_of(store, key, np.where(ones.any(axis=1, keepdims=True), lost, -np.inf))
    total = np.where(np.isfinite(words).any(axis=(1, 2)), np.where(np.isfinite(words), words, 0).sum(axis=(1, 2)), -np.inf)
    lists = []
    for w in _best(total, trials):
        some = ones[w * numbers:(w + 1) * numbers]
        lists.append([(key, int(w * numbers + i), int(b)) for i, b in zip(*np.nonzero(some), strict=True)])
    return lists
