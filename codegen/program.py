"""From a graph to the parts of its C: constants, layers, an arena. Each op has an emitter in codegen/ops/."""
from dataclasses import dataclass, field
from functools import cached_property, singledispatch

import numpy as np

from tinyvgg.codegen.emit import CTYPES, check_name, identifier
from tinyvgg.errors import NotYet, ShapeError
from tinyvgg.quant.memory import plan_memory
from tinyvgg.quant.schedule import schedule_of
from tinyvgg.report.shown import briefly


@singledispatch
def emit(op, program):
    """Return the Step that computes `op`, adding its constants to `program`."""
    raise NotYet(f"no C emitter for {type(op).__name__} ({op.name!r}): add one in codegen/ops/, see codegen/ops/dense.py")


@briefly
@dataclass(frozen=True)
class Constant:
    """A const array of the generated code that belongs to the op called `op`. held: firmware copies it to RAM at the start."""
    op: str
    name: str
    array: np.ndarray
    comment: str
    held: bool = False

    ctype = property(lambda self: CTYPES[self.array.dtype.name])


@briefly
@dataclass(frozen=True)
class Step:
    """The call of one layer.

    declaration: C of the layer struct, or "". call: a format string for x (the first input), inputs (all, comma separated), y and
    scratch. kernels: C files that it needs; sources: {name: text}, C files of its own. row: None, or (C of the layer's window,
    body of a function of window, x, y and scratch that computes the part described by `window`). counts: {what: how many}, from
    which cycles are computed with the coefficients that firmware/costs.py has for `kind`.
    """
    call: str
    kernels: tuple[str, ...] = ()
    declaration: str = ""
    scratch: int = 0
    row: tuple[str, str] | None = None
    sources: dict = field(default_factory=dict)
    kind: str = ""
    counts: dict = field(default_factory=dict)


@briefly
@dataclass
class Program:
    """Everything that codegen/write.py prints: the graph, the Step of each op, and the place of each tensor in the arena."""
    graph: object
    name: str
    constants: list = field(default_factory=list)
    steps: dict = field(default_factory=dict)
    scratch: dict = field(default_factory=dict)
    offsets: dict = field(default_factory=dict)
    arena_bytes: int = 0
    more_kernels: tuple = ()

    @cached_property
    def schedule(self):
        """The Schedule that is stored in the graph."""
        return schedule_of(self.graph)

    def constant(self, op, what, array, comment="", held=False):
        """Add an array to the constants and return the C expression for it."""
        name = f"{self.symbol(op)}_{what}"
        self.constants.append(Constant(op.name, name, np.ascontiguousarray(array), comment, held))
        return self.place(name)

    def place(self, name):
        """Return the C expression for the constant called `name`."""
        return f"{self.name}_weights.{name}" if self.in_one_struct else f"{self.name}_{name}"

    @property
    def in_one_struct(self):
        """Whether the constants are members of one struct without gaps, in X-CUBE-AI's order, as for float graphs."""
        return not self.graph.integer

    def symbol(self, op):
        """Return the op's name as a C identifier, with a number if two ops would share it."""
        names = [identifier(o.name).lower() for o in self.graph.ops]
        index = next(i for i, o in enumerate(self.graph.ops) if o is op)
        return names[index] if names.count(names[index]) == 1 else f"{names[index]}_{index}"

    def input_shapes(self, op):
        """Return the shapes of the op's inputs."""
        return [self.graph[i].shape for i in op.inputs]

    def constant_bytes(self, op=None):
        """Return the bytes of the constants of one op, or of all."""
        return sum(c.array.nbytes for c in self.constants if op is None or c.op == op.name)

    def held_bytes(self, op=None):
        """Return the bytes of the constants, of one op or of all, that firmware copies to RAM at the start."""
        return sum(c.array.nbytes for c in self.constants if c.held and (op is None or c.op == op.name))

    @property
    def layers(self):
        """The ops whose complete results exist after their call, in order: all computed ops, but only the last of a stream."""
        inside = {name for stream in self.schedule.streams for name in stream[:-1]}
        return [op for op in self.computed if op.name not in inside]

    @property
    def computed(self):
        """The ops that compute something, in order."""
        return [op for op in self.graph.ops if op.name in self.steps]

    @property
    def kernels(self):
        """Sorted names of the kernel files that the steps need, and of those requested in addition."""
        stream = ["tv_stream"] if self.schedule.streams else []
        return sorted({*self.more_kernels, *stream, *(k for step in self.steps.values() for k in step.kernels)})

    @property
    def image(self):
        return self.graph.ops[0]

    @property
    def softmax(self):
        """The final softmax op, or None."""
        return self.graph.softmax


def build_program(graph, name, *, more_kernels=()):
    """Return the Program of an integer or float Graph with the C name `name`; more_kernels: further kernel files to include."""
    import tinyvgg.codegen.ops  # noqa: F401  (registers the emitters)
    program = Program(graph, check_name(name), more_kernels=tuple(more_kernels))
    _check(graph)
    for op in graph.ops[1:]:
        program.steps[op.name] = emit(op, program)
    first = emit(graph.ops[0], program)
    if first is not None:
        program.steps[graph.ops[0].name] = first
    _place(program)
    return program


def _check(graph):
    logits = graph.logits
    if logits is graph.ops[0] or (logits is graph.ops[-2] and len(graph.ops) == 2):
        raise ShapeError(f"{graph.name!r} has no layer: nothing to generate")
    for op in graph.ops:
        if any(not 1 <= n <= 65535 for n in op.shape) or len(op.shape) > 3:
            raise ShapeError(f"{op.name!r} has shape {op.shape}; the kernels take up to three axes of 1..65535")


def _place(program):
    """Lay out image, intermediate results and scratch."""
    streams = program.schedule.streams
    for op in (program.graph[name] for stream in streams for name in stream):
        if program.steps[op.name].row is None:
            raise NotYet(f"the kernel of {op.name!r} does not run row by row", "a plan without it in a stream")
    inside = {name: stream[-1] for stream in streams for name in stream}
    scratch = {}
    for op in program.computed:
        owner = inside.get(op.name, op.name)
        scratch[owner] = max(scratch.get(owner, 0), program.steps[op.name].scratch)
    program.scratch = scratch
    plan = plan_memory(program.graph, align=8, scratch=scratch, streams=streams)
    program.offsets, program.arena_bytes = plan.offsets, -(-plan.size // 8) * 8
