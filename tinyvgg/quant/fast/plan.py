"""An integer graph on the fast kernels: its stages, memory for a batch of images, and a program that all threads run."""
import threading
import weakref

import numpy as np

from tinyvgg.kernels.fast.threads import pool
from tinyvgg.quant.fast import paths, windows
from tinyvgg.quant.fast.memory import SLACK
from tinyvgg.quant.fast.stages import stage_of, tensor_of
from tinyvgg.quant.fast.steps import Program
from tinyvgg.quant.graph import Graph
from tinyvgg.types import AnyArray, Bytes

BATCH = 64                      # images at a time: more would leave the caches


class Plan:
    """Computes an integer Graph, byte for byte like its definition; each calling thread has its own plan (see plan_for)."""

    def __init__(self, graph, path=None, *, keeps=False):
        """keeps: whether a run keeps what the backward pass needs (see back.py)."""
        self.path, self.threads = path or paths.chosen(), pool().threads
        self.ops, self.last, self.shape = graph.ops, graph.logits, graph.input_shape
        self._capacity, self._program, self._scratch = 0, None, np.zeros(0, np.uint8)
        self._match()
        for stage in self.stages.values() if keeps else ():
            if not isinstance(stage, str):
                stage.keep()

    def describe(self) -> str:
        """Return the kernel of each op, as text."""
        lines = [f"{self.threads} threads, integers by {self.path}"]
        for op in self._computed():
            stage = self.stages[op.name]
            lines.append(f"{op.name}: {f'simulated, slow: {stage}' if isinstance(stage, str) else stage.describe()}")
        return "\n".join(lines)

    @property
    def complete(self) -> bool:
        """Whether every op has a stage and every result a tensor in memory."""
        return not any(isinstance(stage, str) for stage in self.stages.values()) and None not in self._tensors.values()

    def infer(self, x: Bytes) -> AnyArray:
        """x (N, H, W, C) uint8, contiguous -> integer logits (N, classes)."""
        parts = []
        for i in range(0, len(x), BATCH):
            self.run(x[i:i + BATCH])
            parts.append(self.values(self.last, len(x[i:i + BATCH])))
        return parts[0] if len(parts) == 1 else np.concatenate(parts) if parts else np.zeros((0, *self.last.shape), self.last.dtype)

    def infer_from(self, first, values, count, *, every=False):
        """Return {op: integers (count, ...)} of the logits; with `every`, of all ops from the one called `first` on.

        values: {op: integers (N, ...)}, the results of the ops before `first`. Every op must have a stage. The ops from `first`
        on may have other stages than when `values` was computed (see swap).
        """
        names = [op.name for op in self._computed()]
        start = names.index(first)
        read = {i for op in self._computed()[start:] for i in op.inputs} - set(names[start:])
        wanted = self._computed()[start:] if every else [self.last]
        found = {op.name: np.empty((count, *op.shape), op.dtype) for op in wanted}
        for i in range(0, count, BATCH):
            images = min(BATCH, count - i)
            self._ready(images)
            for name in read:
                self._tensors[name].write(values[name][i:i + BATCH])
            self._program.run_from(pool(), images, first)
            for op in wanted:
                found[op.name][i:i + images] = self.values(op, images)
        return found

    def trace(self, x: Bytes) -> dict[str, AnyArray]:
        """x (N, H, W, C) uint8, contiguous, N > 0 -> {op: its integers (N, ...)}, including a final softmax."""
        parts = []
        for i in range(0, len(x), BATCH):
            self.run(x[i:i + BATCH])
            parts.append({op.name: self.values(op, len(x[i:i + BATCH])) for op in self._computed()})
        found = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
        found = {self.ops[0].name: x, **found}
        for op in self.ops[1:]:
            if op.name not in found:
                found[op.name] = op.simulate(*(found[i] for i in op.inputs))
        return found

    def _computed(self):
        """The ops after the image, up to the logits."""
        return self.ops[1:self.ops.index(self.last) + 1]

    def _match(self):
        self._tensors = {op.name: tensor_of(op, [r for r in self.ops if op.name in r.inputs])
                         for op in (self.ops[0], *self._computed())}
        self.stages, self._others = {}, {}
        for op in self._computed():
            self.stages[op.name] = stage_of(op, [self._tensors[i] for i in op.inputs], self._tensors[op.name], self.path)

    def run(self, x):
        """Compute up to BATCH images, uint8, contiguous; `values` then returns the results."""
        self._ready(len(x))
        self._program.run(pool(), len(x), x.__array_interface__["data"][0])

    def _ready(self, count):
        """Ensure memory and a program for `count` images."""
        if count > self._capacity:
            self._build(next(n for n in (1, 8, BATCH) if n >= count))
        if self._program is None:
            self._program = self._lay_out()

    def values(self, op, count):
        """Return an op's integers (count, *shape) of the last run."""
        if op.name in self._others:
            return self._others[op.name][:count]
        return self._tensors[op.name].read(count)

    def swap(self, name, stage):
        """Replace the stage of an op by another one, made by stage_for."""
        self.stages[name], self._program = stage, None

    def stage_for(self, op):
        """Return a stage for an op that replaces the op of the same name and shapes, or the reason why there is none, as text."""
        before = {i: list(self._tensors[i].border) for i in op.inputs if self._tensors[i] is not None}
        stage = stage_of(op, [self._tensors[i] for i in op.inputs], self._tensors[op.name], self.path)
        if any(self._tensors[i].border != border for i, border in before.items()):
            self._capacity = 0                  # it needs more memory around its input
        return stage

    def _build(self, capacity):
        """Allocate memory for `capacity` images."""
        for tensor in self._tensors.values():
            if tensor is not None:
                tensor.allocate(capacity)
        for stage in self.stages.values():
            if getattr(stage, "gate", None) is not None:
                stage.gate.allocate(capacity)
        self._capacity, self._program = capacity, None

    def _lay_out(self):
        """Return the program of the present stages."""
        image, program = self._tensors[self.ops[0].name], Program()
        stages = [s for s in self.stages.values() if not isinstance(s, str)]
        for stage in stages:            # a first pass to find how much scratch they need
            stage.add(Program(), {"scratch": 0, "scratch_size": 0})
        size = max((s.scratch for s in stages), default=0) // SLACK * SLACK + 2 * SLACK
        if len(self._scratch) < self.threads * size + SLACK:
            self._scratch = np.zeros(self.threads * size + SLACK, np.uint8)
        start = self._scratch.__array_interface__["data"][0]
        scratch = {"scratch": start + -start % SLACK, "scratch_size": size}
        program.add(windows.place, **image.fields("y"), x_at=0, source_channels=image.channels)
        for op in self._computed():
            stage = self.stages[op.name]
            program.mark(op.name)
            if isinstance(stage, str):
                program.call(self._simulation(op))
            else:
                stage.add(program, scratch)
        return program

    def _simulation(self, op):
        """Return a function of the number of images that runs the definition of an op on the results of the steps before."""
        def simulate(count):
            inputs = [self._others[i][:count] if i in self._others else self._tensors[i].read(count) for i in op.inputs]
            y = op.simulate(*inputs)
            if self._tensors[op.name] is None or y.dtype != self._tensors[op.name].dtype:
                self._others[op.name] = y
            else:
                self._tensors[op.name].write(y)
        return simulate


# --- a plan for a graph ---

_held = threading.local()


def of_thread(cls, graph):
    """Return this thread's Plan or WayBack for a Graph: another one where instructions or threads have changed since."""
    held = _held.__dict__.setdefault(cls.__name__, weakref.WeakKeyDictionary())
    found = held.get(graph)
    if found is None or (found.path, found.threads) != (paths.chosen(), pool().threads):
        held[graph] = found = cls(graph)
    return found


def plan_for(graph: Graph) -> Plan:
    """Return this thread's plan for an integer Graph."""
    return of_thread(Plan, graph)
