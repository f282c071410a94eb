"""How a network runs on the fast kernels: its layers matched to fused stages, one arena, and a program for each way of running.

    print(model.plan().describe())

Every network has a plan: a layer without a fast stage runs by itself between the steps, and the description says so.
"""
import sys
import threading
import weakref
from dataclasses import replace
from math import prod
from operator import attrgetter, is_

import numpy as np

from tinyvgg.changes import mark
from tinyvgg.errors import ShapeError
from tinyvgg.images import bits_of, in_one_piece, is_one_piece
from tinyvgg.kernels.fast import images
from tinyvgg.kernels.fast.arena import Arena, Tensor, address
from tinyvgg.kernels.fast.convolution import precise_wanted
from tinyvgg.kernels.fast.program import FROM_WEIGHTS, IN_ORDER, Program
from tinyvgg.kernels.fast.simd import WIDTH
from tinyvgg.kernels.fast.threads import pool
from tinyvgg.kernels.fast.winograd import CACHE
from tinyvgg.nn.fused.chunks import InChunks
from tinyvgg.nn.fused.lowering import WATCHED
from tinyvgg.nn.fused.matching import calls_of, match
from tinyvgg.nn.fused.others import Branch
from tinyvgg.nn.fused.values import Memory

INFERENCE_BATCH = 64            # images at a time where nothing is kept: more would leave the caches
CHUNK = 4                       # images of a worker that go through all steps together, where none mixes images: see fused/chunks.py
HELD = 2_000_000                # elements of weights that a cache holds from one chunk to the next


class Plan:
    """Programs and memory for one network; each calling thread has its own plan (see `plan_for`)."""

    def __init__(self, model, *, precise=False):
        self.precise, self.layers = precise, list(model.layers)
        self.watch = Watch(model, precise)
        (self.calls, self.copies), self.input_shape = calls_of(model), tuple(model.input_shape)
        self._instances, self._last = {}, None
        self._instance(False, 1)

    @property
    def pool(self):
        """The threads of this process."""
        return pool()

    def describe(self):
        """Return which kernel runs where, as text."""
        lines = [f"{self.pool.threads} threads, vectors of {WIDTH} float32" + (", precise" if self.precise else "")]
        return "\n".join(lines + [stage.describe() for stage in self._instance(False, 1).stages if not isinstance(stage, Branch)])

    def place_of(self, x, bounds):
        """Return the address of images x (N, H, W, C) that can be taken as they are, float32 in one piece within `bounds` from 0 up; else
        0. What images.float_images finds out, in a fraction of a small network's time.
        """
        low, high = bounds
        if low != 0 or not is_one_piece(x) or x.shape[1:] != self.input_shape or not len(x):
            return 0
        return images.address_within(x.reshape(-1), bits_of(high))

    def infer(self, x, at=None):
        """Return logits (N, classes) of x (N, H, W, C), whose address may be known; keep nothing for a backward pass."""
        if len(x) <= INFERENCE_BATCH:
            instance = self._instance(False, len(x))
            return instance.answer(self.pool, len(x), at) if at else instance.forward(self.pool, x, "infer")
        parts = []
        for i in range(0, len(x), INFERENCE_BATCH):
            part = x[i:i + INFERENCE_BATCH]
            parts.append(self._instance(False, len(part)).forward(self.pool, part, "infer"))
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def forward(self, x, training, parameters=True):
        """x (N, H, W, C) -> logits (N, classes), keeping what backward needs (without `parameters`: for the gradient with respect
        to the images only)."""
        instance = self._instance(True, len(x))
        mode = "train" if training else "gradient" if parameters else "images"
        self._last = instance, mode, len(x)
        return instance.forward(self.pool, x, mode)

    def backward(self, dlogits, parameters, inputs=True):
        """Pull dlogits back through the last forward: fill the layers' gradients, return dx (None without `inputs`)."""
        instance, mode, count = self._last
        if parameters:
            self._provide_gradients()
        dx = instance.backward(self.pool, dlogits, mode, count, parameters, inputs)
        for layer, copies in self.copies if parameters else ():
            for name in layer.parameters:
                layer.gradients[name] = sum((twin.gradients[name] for twin in copies[1:]), copies[0].gradients[name])
        return dx

    def _provide_gradients(self):
        """See that each weight has an array for its gradient that nobody else holds: a caller may have kept the last one."""
        shared = {id(layer) for layer, _ in self.copies}
        alone = [layer for layer in self.layers if id(layer) not in shared]
        for layer in [*alone, *(twin for _, copies in self.copies for twin in copies)]:
            for name, weight in layer.parameters.items():
                if name not in layer.gradients or sys.getrefcount(layer.gradients[name]) > 3:
                    layer.gradients[name] = np.empty_like(weight)

    def _instance(self, keeps, count):
        """Return memory and programs for at least `count` images."""
        found = self._instances.get(keeps)
        if found is None or found.capacity < count:
            self._instances[keeps] = found = Instance(match(self.calls, self.input_shape, self.precise), count, keeps, self.pool)
        return found


class Instance:
    """The stages of a network with memory for up to `capacity` images."""

    def __init__(self, matched, capacity, keeps, pool):
        self.capacity, self.keeps, self.workers, threads = capacity, keeps, pool.workers, pool.threads
        self.stages, self.input, self.output, self.shapes = matched.stages, matched.input, matched.output, matched.shapes
        self.chunk = self._together(capacity)
        held = capacity if keeps else min(capacity, self.chunk * self.workers)
        memory = Memory(Arena(0), held, threads, keeps)
        self._allocate(memory)
        scratch = {name: (0, size) for name, (_, size) in memory.scratch.items()}
        arena = Arena(memory.arena.used + sum(16 + threads * size for _, size in scratch.values()), lasting=True)
        memory = Memory(arena, held, threads, keeps)
        memory.scratch = {name: (memory.arena.take(threads * size), size) for name, (_, size) in scratch.items()}
        self.arena = memory.arena
        self._allocate(memory)
        self._programs, self._answers = {}, {}

    def _together(self, capacity):
        """How many images of a worker go through all steps together: more where there are many weights, which all of them read; in
        inference with depthwise convolutions fewer, if what a step reads and writes of an image fills much of a cache, since these do
        little with each number that they read.
        """
        if any(getattr(stage, "calls_python", False) for stage in self.stages):
            return capacity
        together = CHUNK
        if not self.keeps and any(getattr(stage, "depthwise", False) for stage in self.stages):
            together = min(CHUNK, max(1, CACHE // max(sum(prod(value.grid) for value in (*stage.sources(), stage.target))
                                                      for stage in self.stages)))
        weights = sum(stage.weights.elements * (4 if getattr(stage, "winograd", False) else 1)
                      for stage in self.stages if hasattr(stage, "weights"))
        return together * max(1, -(-weights // HELD))

    def _allocate(self, memory):
        found = [self.input, *(v for stage in self.stages for v in (*stage.sources(), stage.target)), self.output]
        self.values = list({id(v): v for v in found}.values())
        for value in self.values:
            value.allocate(replace(memory, capacity=self.capacity) if value is self.output else memory)
        for stage in self.stages:
            stage.allocate(memory)

    def forward(self, pool, x, mode):
        """Run the program of a mode on x; return a copy of the logits."""
        x = in_one_piece(x)
        if x.shape[1:] != self.shapes[0]:
            raise ShapeError(f"images have shape {x.shape}; expected {('N', *self.shapes[0])}, channels last")
        if mode == "train":
            self._draw_masks(len(x))
        self._program(mode, len(x)).run(pool, len(x), address(x))
        return self.output.as_array(self.arena, len(x)).copy().reshape(len(x), *self.shapes[1])

    def answer(self, pool, count, at):
        """As forward for inference on `count` images at an address, in as few steps as it can be: they show beside a small network's time."""
        found = self._answers.get(count)
        if found is None:
            found = self._answers[count] = (self._program("infer", count), self.output.as_array(self.arena, count),
                                            (count, *self.shapes[1]))
        program, outputs, shape = found
        program.run(pool, count, at)
        return outputs.copy().reshape(shape)

    def backward(self, pool, dlogits, mode, count, parameters, inputs):
        """Run the backward pass; return a copy of the gradient with respect to the images, if wanted."""
        if np.shape(dlogits) != (count, *self.shapes[1]):
            raise ShapeError(f"the gradient with respect to the logits has shape {np.shape(dlogits)}; expected {(count, *self.shapes[1])}")
        incoming = self.output.as_array(self.arena, count, gradient=True)
        incoming[:] = np.reshape(dlogits, incoming.shape)
        self._program(mode, count, parameters, inputs).run(pool, count)
        if not inputs:
            return None
        return np.array(self.input.as_array(self.arena, count, gradient=True)).reshape(count, *self.shapes[0])

    def _program(self, mode, count, *backward):
        """Return the program of a mode for `count` images, or with (parameters, inputs) its way back."""
        parts = count > self.chunk * self.workers and mode in ("infer", "images")
        program = self._programs.get((mode, parts, *backward))
        if program is None:
            program = InChunks(self.chunk, self.workers, self._follows(mode, *backward)) if parts else Program()
            if not backward:
                program.add(images.place, "images", when=IN_ORDER if parts else FROM_WEIGHTS, x=self._outside(0, self.input),
                            y=self.input.tensor, real_channels=self.input.grid[2])
                for stage in self.stages:
                    stage.forward(program, mode)
            else:
                parameters, inputs = backward
                for value in self.values:
                    value.written = False
                for stage in reversed(self.stages):
                    stage.backward(program, mode, parameters, inputs or self.input not in stage.sources())
            self._programs[(mode, parts, *backward)] = program      # once it is whole: an interrupt may end its making
        return program

    def _follows(self, mode, *backward):
        """Which tensors have a place for every image, as InChunks asks: of inference the logits; on the way back what the way there
        left, and the gradients at both ends.
        """
        ends = [(self.output, "gradient"), (self.input, "gradient")] if backward else [(self.output, "tensor")]
        ranges = [self._range(*end) for end in ends] if backward or mode == "infer" else []

        def follows(field, at):
            whole = not ranges or (backward and field in ("x", "y"))
            return bool(at) and (whole or any(first <= at < last for first, last in ranges))
        return follows

    def _range(self, value, what):
        """The addresses of a value's tensor, or of its gradient, for all images."""
        tensor, (top, _, left, _) = getattr(value, what), value.border
        first = tensor.shifted(top, left).at
        return first, first + self.capacity * tensor.image

    def _outside(self, at, value):
        """The caller's array of images as a tensor: without the zeros that fill up a row of ours."""
        height, width, channels = value.grid
        return Tensor(at, width * channels, height * width * channels, height, width, channels)

    def _draw_masks(self, count):
        """Draw each dropout's mask from its layer's generator, in the order of the layers."""
        for stage in self.stages:
            if getattr(stage, "dropout", None) is not None and stage.dropout.rate > 0:
                stage.draw_mask(self.arena, count)


# --- a plan for a model ---

_plans = threading.local()              # by_model: network -> plan; last: the last of them, held weakly
_NOTHING = (lambda: None,) * 2


def plan_for(model, *, precise=None):
    """Return this thread's plan for a model, or None for float64, where the layers run one by one.

    `precise` (default: the environment's TINYVGG_PRECISE) uses only direct convolutions, which round less than Winograd's.
    """
    precise, mine = precise_wanted(precise), _plans.__dict__
    last, held = mine.get("last", _NOTHING)                 # mostly the same network as before, and a dictionary takes longer
    plan = held() if last() is model else None
    if plan is not None and plan.watch.unchanged(model, precise):
        return plan
    plans = mine.setdefault("by_model", weakref.WeakKeyDictionary())
    plan = plans.get(model)
    if plan is None or not plan.watch.unchanged(model, precise):
        if model.dtype != np.float32:
            return None
        plans[model] = plan = Plan(model, precise=precise)
    mine["last"] = weakref.ref(model), weakref.ref(plan)
    return plan


class LayerByLayer:
    """Used where there is no plan (float64): it can only describe itself."""

    def __init__(self, model):
        self.model = model

    def describe(self):
        """Return why, and the layers, as text."""
        why = "float64" if self.model.dtype != np.float32 else "the reference kernels were asked for"
        return "\n".join([f"layer by layer in NumPy, slow: {why}", *(f"{layer.name}: reference" for layer in self.model.layers)])


class Watch:
    """Everything but the weights that a plan depends on, to tell whether the plan may still be used."""

    def __init__(self, model, precise):
        self.given, self.layers = (precise, pool().threads), list(model.layers)
        seen, readers = mark(), [(layer, attrgetter(*WATCHED[type(layer)])) for layer in self.layers if type(layer) in WATCHED]
        self.options, self.seen = [(layer, read, _plain(read(layer))) for layer, read in readers], seen
        self.marked = not any(isinstance(getattr(layer, name), list | tuple | np.ndarray)       # these may be changed in place
                              for layer, _ in readers for name in WATCHED[type(layer)])

    def unchanged(self, model, precise):
        """Whether layers, their options, precision and threads are as they were."""
        if self.given != (precise, pool().threads) or len(self.layers) != len(model.layers) or not all(map(is_, self.layers, model.layers)):
            return False
        now = mark()
        if self.marked and now is self.seen:
            return True
        if model.dtype != np.float32:
            return False
        for layer, read, values in self.options:        # asked before each program: a generator takes three times as long
            if _differ(read(layer), values):
                return False
        self.seen = now
        return True


def _differ(options, values):
    """Whether a layer's options are others than `values`, which _plain returned before."""
    try:
        if options == values:
            return False
    except ValueError:          # arrays
        pass
    return _plain(options) != values


def _plain(options):
    """Options as numbers that compare as one, and that stay when a list is changed in place."""
    if isinstance(options, tuple | list):
        return type(options)(map(_plain, options))
    return options.tolist() if hasattr(options, "tolist") else options
