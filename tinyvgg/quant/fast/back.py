"""The backward pass through an integer graph: the forward pass runs in integers, the backward pass on the float kernels of
nn/fused.

Rounding passes the gradient on, saturation passes none (Bengio et al., 2013, arXiv:1308.3432). The integer forward pass records
three things: which value of a pool's window is the largest, on which side of an activation a value lies, and whether a result is
saturated. So no sum is computed twice. An op without a stage here is pulled back by its definition between the steps.
"""
from dataclasses import dataclass, field

import numpy as np

from tinyvgg.classifier import as_classes, of_outputs
from tinyvgg.kernels.fast.arena import Arena
from tinyvgg.kernels.fast.elementwise import READY
from tinyvgg.kernels.fast.program import Program
from tinyvgg.kernels.fast.simd import WIDTH
from tinyvgg.kernels.fast.threads import pool
from tinyvgg.nn.fused.convolution import Convolution, Geometry
from tinyvgg.nn.fused.fully_connected import FullyConnected
from tinyvgg.nn.fused.others import Pooling, Repeated
from tinyvgg.nn.fused.values import Memory, Value, grid_of
from tinyvgg.quant.fast.plan import BATCH, Plan, of_thread
from tinyvgg.quant.fast.route import route
from tinyvgg.quant.fast.vectors import PLACES
from tinyvgg.quant.graph import Graph
from tinyvgg.quant.lower import dequantize, limits
from tinyvgg.quant.ops import AveragePool2D, Conv2D, Dense, DepthwiseConv2D, UpSample2D, along, weights_of
from tinyvgg.types import Bytes, Floats, Gradient

NO_POOL = 1, 1, 1, 1


@dataclass
class Weights:
    """The weights of an integer op as real numbers, in the form in which a fused stage expects a layer."""
    name: str
    parameters: dict
    gradients: dict = field(default_factory=dict)
    use_bias = False

    @classmethod
    def of(cls, op, before):
        """Make the real weights (..., F) from input to result, where real = s' (q' - z') and real = s (q - z)."""
        w, tail = weights_of(op).astype(np.float64), op.tail
        unit = op.scale * tail.multiplier.astype(np.float64) * 2.0 ** (tail.shift - 32) / before.scale
        w = np.moveaxis(w * along(unit, w), 0, -1)
        if isinstance(op, DepthwiseConv2D):
            w = w.reshape(*w.shape[:2], 1, -1)
        return cls(op.name, {"kernel": np.ascontiguousarray(w, np.float32)})


class Sums(Convolution):
    """A convolution whose backward pass starts at the gradient of its sums, which `route` writes."""

    def _passes_through(self):
        return True

    def allocate(self, memory):
        super().allocate(memory)
        self.result = self.through

    def backward(self, program, mode, gradients, inputs):
        """Add the steps from the gradient of the sums to the gradient of the source."""
        tail = {"y": self.through, "g": self.through, "gate": READY, "pool": False, "affine": self.identity, "slope": self.flat,
                "zeros": self.flat, **self.after[1], **self._mask(mode), **self.sums}
        if self.depthwise:
            self._backward_depthwise(program, gradients, inputs)
        elif self.winograd:
            self._backward_winograd(program, tail, gradients)
        else:
            self._backward_direct(program, tail, gradients, inputs)


class WayBack:
    """The gradient of an integer Graph with respect to its images; each calling thread has its own (see way_back)."""

    def __init__(self, graph):
        self.forward = Plan(graph, keeps=True)
        self.path, self.threads = self.forward.path, pool().threads
        self.ops = {op.name: op for op in graph.ops if not op.probabilities}
        self.shape, self.last = graph.input_shape, graph.logits
        self._floats, self._limits = dequantize(graph), limits(graph)
        self._image, self._capacity = graph.ops[0].name, 0

    def describe(self) -> str:
        """Return how each op is pulled back, as text."""
        self._built(1)
        return "\n".join(f"{op.name}: {'by its definition, slow' if self._stages[op.name] is None else 'fused'}" for op in self._behind())

    def vjp(self, x: Bytes, g: Gradient) -> Floats:
        """Return d sum(g logits) / dx, float32 (N, H, W, C). x: uint8, contiguous; g: (N, classes), or a function of real
        logits."""
        if callable(g) and len(x) > BATCH:
            g = g(self._logits(self.forward.infer(x)))
        parts = [self._batch(x[i:i + BATCH], g if callable(g) else g[i:i + BATCH]) for i in range(0, len(x), BATCH)]
        return np.concatenate(parts) if parts else np.zeros((0, *self.shape), np.float32)

    def _logits(self, q):
        return as_classes((np.float32(self.last.scale) * (q.astype(np.float32) - np.float32(self.last.zero))).reshape(len(q), -1))

    def _batch(self, x, g):
        count = len(x)
        self._built(count)
        self.forward.run(x)
        if callable(g):
            g = g(self._logits(self.forward.values(self.last, count)))
        g = of_outputs(np.asarray(g, np.float32), self.last.shape)
        incoming = self._values[self.last.name].as_array(self._arena, count, gradient=True)
        incoming[:] = g.reshape(incoming.shape)
        self._program.run(pool(), count)
        dx = np.array(self._values[self._image].as_array(self._arena, count, gradient=True)).reshape(count, *self.shape)
        gain = np.float32(self._floats.ops[0].gain)
        return dx if gain == 1 else dx * gain

    # --- stages ---

    def _behind(self):
        """The ops after the image."""
        return list(self.ops.values())[1:]

    def _built(self, count):
        """Ensure memory and a program for `count` images."""
        if count <= self._capacity:
            return
        capacity = next(n for n in (1, 8, BATCH) if n >= count)
        self.forward.run(np.zeros((capacity, *self.shape), np.uint8))      # allocates the codes
        readers = {name: [op for op in self._behind() if name in op.inputs] for name in self.ops}
        self._values = {op.name: Value(grid_of(op.shape), readers=len(readers[op.name])) for op in self.ops.values()}
        image, first = self._values[self._image], readers[self._image]
        image.exact = len(first) == 1 and type(first[0]) is Conv2D and image.grid[2] % WIDTH != 0
        self._stages = {op.name: self._stage(op) for op in self._behind()}
        self._allocate(capacity)
        self._program = self._laid_out()
        self._capacity = capacity

    def _stage(self, op):
        """Return the fused stage of an op, with the value or tensor that `route` writes for it; None if it has none."""
        integers = self.forward.stages[op.name]
        if isinstance(integers, str) or getattr(op, "lite", False):
            return None
        source, window = self._values[op.inputs[0]], getattr(op, "pool", None) or NO_POOL
        if type(op) in (Conv2D, DepthwiseConv2D) and window[0] * window[1] <= PLACES:
            groups = source.grid[2] if type(op) is DepthwiseConv2D else 1
            geometry = Geometry(Weights.of(op, self.ops[op.inputs[0]]), "kernel", None, op.weights.shape[1:3], op.strides, op.padding,
                                op.dilation, groups, op.shape[-1])
            return Sums(source, Value((*op.size, op.shape[-1])), geometry, (*op.size, op.shape[-1]))
        alone = source.readers == 1
        if type(op) is Dense and alone:
            return FullyConnected(source, Value(grid_of(op.shape)), Weights.of(op, self.ops[op.inputs[0]]))
        if type(op) is AveragePool2D:
            return Pooling(source, Value((1, 1, op.shape[0]) if len(op.shape) == 1 else op.shape), Weights(op.name, {}),
                           op.geometry, False)
        if type(op) is UpSample2D and alone:
            return Repeated(source, self._values[op.name], Weights(op.name, {}))
        return None

    def _allocate(self, capacity):
        values = list(self._values.values())
        values += [s.target for s in self._stages.values() if s is not None and s.target not in values and not isinstance(s, Sums)]

        def take(memory):
            for part in (*values, *(s for s in self._stages.values() if s is not None)):
                part.allocate(memory)
            return memory
        counted = take(Memory(Arena(0), capacity, self.threads, True))
        scratch = {name: (0, size) for name, (_, size) in counted.scratch.items()}
        memory = Memory(Arena(counted.arena.used + sum(16 + self.threads * size for _, size in scratch.values()), lasting=True), capacity,
                        self.threads, True)
        memory.scratch = {name: (memory.arena.take(self.threads * size), size) for name, (_, size) in scratch.items()}
        self._arena = take(memory).arena

    def _laid_out(self):
        program = Program()
        for op in reversed(self._behind()):
            stage = self._stages[op.name]
            if stage is None:
                program.call(self._by_definition(op))
                continue
            codes = self.forward.stages[op.name].gate
            if codes is not None:
                ph, pw, sh, sw = getattr(op, "pool", None) or NO_POOL
                slope = op.tail.slope / 2.0**31 if hasattr(op, "tail") else 1.0
                program.add(route, op.name, g=self._values[op.name].gradient, mask=codes.at, mask_image=codes.image,
                            depth=codes.pixel, dx=stage.through if isinstance(stage, Sums) else stage.target.gradient,
                            kernel_height=ph, kernel_width=pw, stride_height=sh, stride_width=sw, leak=slope)
            stage.backward(program, "gradient", False, True)
        return program

    def _by_definition(self, op):
        """Return a function of the number of images that pulls the gradient back like the float op of this op."""
        twin, sources = self._floats[op.name], [self._values[i] for i in op.inputs]
        first = [not s.written for s in sources]
        for source in sources:
            source.written = True

        def pull(count):
            x = [self._real(self.ops[i], count) for i in op.inputs]
            dy = np.array(self._values[op.name].as_array(self._arena, count, gradient=True)).reshape(count, *op.shape)
            dxs, _ = twin.backward(dy, *x, parameters=False, limits=self._limits.get(op.name))
            set_already = set()
            for source, dx, new in zip(sources, dxs, first, strict=True):
                place = source.as_array(self._arena, count, gradient=True)
                if new and id(source) not in set_already:
                    place[:] = dx.reshape(place.shape)
                else:
                    place += dx.reshape(place.shape)
                set_already.add(id(source))
        return pull

    def _real(self, op, count):
        return np.float32(op.scale) * (self.forward.values(op, count).astype(np.float32) - np.float32(op.zero))


def way_back(graph: Graph) -> WayBack:
    """Return this thread's WayBack for an integer Graph."""
    return of_thread(WayBack, graph)
