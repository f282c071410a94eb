"""Run a store's graph, and run it again from the first op that a flip changes. A flipped weight changes one channel of its op: to
the accumulators of this channel, the weight's change times one shifted input plane is added. In the next convolution, the change
of one input channel is added. These are sums of integers, so the answers are the same as those of the whole network, bit for bit.
Only the later layers are computed in full.
"""
import threading

import numpy as np

from tinyvgg import kernels
from tinyvgg.faults import wrapping
from tinyvgg.quant.ops.base import plain
from tinyvgg.quant.ops.dense import Dense
from tinyvgg.quant.ops.weighted import Weighted
from tinyvgg.quant.ops.weights import weights_of

FEW = 4                     # channels that are recomputed one by one; more are done whole


def run(store, x):
    """Return the logits op's raw result for x, in the form that the store's graph takes."""
    return Session(store, x, keep=False).logits


def accumulators(op, x):
    """The sums of products of an integer op, int32 (N, OH, OW, F) or (N, F)."""
    parts = [np.asarray(acc) for _, acc in op.accumulate(x)]
    return _wrapped(np.concatenate(parts))


def _wrapped(acc):
    """Exact sums of any dtype as int32 modulo 2^32: flipped int16 weights reach beyond it."""
    return acc.astype(np.int64).astype(np.int32) if acc.dtype == np.float64 else acc.astype(np.int32)


class _Fast:
    """The whole network by the fast kernels, whose sums are modulo 2^32 and pooled before the tail, as C's are."""

    def __init__(self, graph):
        from tinyvgg.quant.fast.plan import Plan
        self.plan, self.stages = Plan(graph), {}
        self.now = {op.name: op for op in graph.ops}

    def trace(self, x):
        """{op: its integers (N, ...)} up to the logits for images x (N, H, W, C) uint8, or None as `infer`."""
        if not self.plan.complete:
            return None
        first = next(iter(self.plan.stages))
        x = np.ascontiguousarray(x)
        return {self.plan.ops[0].name: x, **self.plan.infer_from(first, {self.plan.ops[0].name: x}, len(x), every=True)}

    def infer(self, ops, changed, values, *, every=False):
        """Return {op: its integers} of the logits, or with `every` of all ops that can change. {op name: op}: ops in `changed`
        differ from those that gave `values`. None if an op has no kernel, because it might not wrap like C.
        """
        for name, op in ops.items():
            if self.now[name] is not op and name in self.plan.stages:
                kept = self.stages.get(name, (None, None))
                self.stages[name] = self.now[name], self.plan.stages[name]
                self.plan.swap(name, kept[1] if kept[0] is op else self.plan.stage_for(op))
                self.now[name] = op
        if not self.plan.complete:
            return None
        first = next(name for name in self.plan.stages if name in changed)
        return self.plan.infer_from(first, values, len(values[first]), every=every)


class Session:
    """A store's answers for images x, kept op by op: `logits` now, `trial(changes)` with a few numbers changed."""

    def __init__(self, store, x, *, keep=True):
        self.store, self.x, self.keep = store, x, keep
        self.names = [op.name for op in store.original.ops]
        self.last = store.original.logits.name
        self.values, self.sums = {}, {}
        self._kernels = threading.local()
        fast = self._fast() if keep and len(x) else None
        found = fast and fast.trace(self.x)
        if found is None:
            self._restart()
        else:
            self.values = found

    def _fast(self):
        """This thread's fast kernels, whose memory no other thread may write to, or None."""
        held = self._kernels.__dict__
        if held.get("fast") is None:
            held["fast"] = _Fast(self.store.graph) if self.store.is_integer and kernels.active() == "fast" else None
        return held["fast"]

    def __getstate__(self):
        return {name: value for name, value in self.__dict__.items() if name != "_kernels"}

    def __setstate__(self, state):
        self.__dict__.update(state, _kernels=threading.local())

    def _restart(self):
        left = {name: sum(name in op.inputs for op in self.store.original.ops) for name in self.names}
        for name in self.names:
            op = self.store.op(name)
            self.values[name], acc = self._whole(op, self._inputs(op, self.values))
            if self.keep:
                self.sums[name] = acc
            else:
                for i in op.inputs:
                    left[i] -= 1
                    if left[i] == 0:
                        self.values[i] = None
            if name == self.last:
                break

    @property
    def logits(self):
        """The logits op's raw result (N, classes)."""
        return self.values[self.last]

    def _inputs(self, op, values):
        return [values[i] for i in op.inputs] or [self.x]

    def _whole(self, op, inputs):
        """Return an op's result and accumulators (None where it has none)."""
        if isinstance(op, Weighted) and op.integer:
            if self.keep:
                acc = accumulators(op, *inputs)
                return wrapping.finish(acc, op).reshape(-1, *op.shape), acc
            parts = [wrapping.finish(_wrapped(acc), op) for _, acc in op.accumulate(*inputs)]
            return np.concatenate(parts).reshape(-1, *op.shape), None
        with np.errstate(all="ignore"):
            return op.compute(*inputs), None

    def trial(self, changes):
        """Return the raw logits with `changes`, [(key, index, value)], in place; nothing is changed."""
        found = self._by_kernels(changes)
        if found is not None:
            return found[self.last].reshape(self.logits.shape)
        new, _ = self._changed(changes, commit=False)
        return new.get(self.last, self.logits)

    def _by_kernels(self, changes, *, every=False):
        """{op: result} of the logits, or of `every` op that the changes can reach, by the fast kernels; None where they cannot."""
        fast = self._fast()
        if fast is None or not changes:
            return None
        built = self._built(changes)
        return fast.infer({name: built.get(name) or self.store.op(name) for name in self.names}, set(built), self.values,
                                every=every)

    def commit(self, changes):
        """Make `changes` in the store and update the answers."""
        by_key = {}
        for key, index, value in changes:
            by_key.setdefault(key, []).append((index, value))
        values, sums = self._by_kernels(changes, every=True), {}
        if values is None:
            values, sums = self._changed(changes, commit=True)
        else:
            self.sums = {name: acc for name, acc in self.sums.items() if name not in values}
        for key, pairs in by_key.items():
            flat = self.store.arrays[key].reshape(-1)
            for index, value in pairs:
                flat[index] = value
        self.store.changed(by_key)
        self.values.update(values)
        self.sums.update(sums)

    def _changed(self, changes, commit):
        """Return {op: result} and {op: accumulators} of every op that the changes reach."""
        built, values, sums, channels = self._built(changes), {}, {}, {}
        for name in self.names:
            op = built.get(name) or self.store.op(name)
            dirty = [i for i in op.inputs if i in values]
            if name not in built and not dirty:
                continue
            if name in built and not dirty and isinstance(op, Weighted) and op.integer:
                found = self._some_channels(op)
                if found is not None:
                    values[name], sums[name], channels[name] = found
            elif name not in built and len(dirty) == 1 and len(op.inputs) == 1 and channels.get(dirty[0]) is not None \
                    and op.integer and op.mixes_channels:
                sums[name] = self._from_channels(op, self.values[dirty[0]], values[dirty[0]], channels[dirty[0]])
                values[name] = wrapping.finish(sums[name], op).reshape(-1, *op.shape)
            else:
                merged = {i: values.get(i, self.values[i]) for i in op.inputs}
                keep, self.keep = self.keep, commit
                try:
                    values[name], sums[name] = self._whole(op, self._inputs(op, merged))
                finally:
                    self.keep = keep
            if name == self.last:
                break
        return values, sums

    def _sums_of(self, name):
        """An op's accumulators as the store stands, computed when first asked for."""
        if name not in self.sums:
            op = self.store.op(name)
            self.sums[name] = accumulators(op, *self._inputs(op, self.values))
        return self.sums[name]

    def _built(self, changes):
        """{op name: the op with its changed arrays}."""
        arrays, names = dict(self.store.arrays), []
        for key, index, value in changes:
            if arrays[key] is self.store.arrays[key]:
                arrays[key] = arrays[key].copy()
            arrays[key].reshape(-1)[index] = value
            names.append(key.rsplit("/", 1)[0])
        return {name: self.store.build(self.store.original[name], arrays) for name in names}

    def _some_channels(self, op):
        """Return the result and accumulators of a changed op whose inputs stand, and which channels changed (None for all).

        None alone: what changed is not used (an entry that no index names, a number flipped back).
        """
        before, x = self.store.op(op.name), self._inputs(op, self.values)[0]
        new, old = (weights_of(o).reshape(len(o.tail.bias), -1) for o in (op, before))
        different = new != old
        touched = different.any(axis=1)
        for name, array in plain(op.tail).items():
            if isinstance(array, np.ndarray):
                touched |= array != getattr(before.tail, name)
        touched = np.flatnonzero(touched)
        shifted = not op.lite and op.tail.shift != before.tail.shift
        if not len(touched) and not shifted:
            return None
        if shifted or len(touched) > FEW or different.sum() > 8 * FEW or not op.mixes_channels:
            if not different.any():
                acc = self._sums_of(op.name)
                return wrapping.finish(acc, op).reshape(-1, *op.shape), acc, None
            return (*self._whole(op, [x]), None)
        acc = self._sums_of(op.name)[..., touched].copy()
        for place, f in enumerate(touched):
            for k in np.flatnonzero(different[f]):
                self._add_weight(op, x, int(k), int(new[f, k]) - int(old[f, k]), acc[..., place])
        sums = self._sums_of(op.name).copy()
        sums[..., touched] = acc
        values = self.values[op.name].copy()
        finished = wrapping.finish(np.ascontiguousarray(acc), op, touched)
        values[..., touched] = finished.reshape(*values.shape[:-1], len(touched))
        return values, sums, touched

    def _add_weight(self, op, x, k, delta, acc):
        if isinstance(op, Dense):
            acc += delta * (x.reshape(len(x), -1)[:, k].astype(np.int32) - op.input_zero)
            return
        x = x if x.ndim == 4 else x[:, None, None]
        row, column, channel = np.unravel_index(k, op.weights.shape[1:])
        wrapping.add_weight(x, op.input_zero, int(channel), delta, int(row), int(column), geometry(op), acc)

    def _from_channels(self, op, old, new, channels):
        """The accumulators of an op after some channels of its input have changed."""
        acc, weights = self._sums_of(op.name).copy(), weights_of(op).astype(np.int32)
        change = new[..., channels].astype(np.int32) - old[..., channels]
        if isinstance(op, Dense):
            columns = weights.reshape(len(weights), -1, old.shape[-1])[..., channels].reshape(len(weights), -1)
            return acc + change.reshape(len(change), -1) @ columns.T
        change = change if change.ndim == 4 else change[:, None, None]
        for place, channel in enumerate(channels):
            kernel = np.ascontiguousarray(weights[..., channel].transpose(1, 2, 0))
            wrapping.add_channel(np.ascontiguousarray(change[..., place]), kernel, geometry(op), acc)
        return acc


def geometry(op):
    """Strides, dilation, and padding at the top and left of a convolution."""
    return (*op.strides, *op.dilation, op.padding[0][0], op.padding[1][0])
