"""Vectors of float32 and the loops around them, written in Python, compiled by LLVM.

A function decorated with `machine` receives an emitter and wrapped values. It says with `+`, `*`, `load`, `store` and `loop` which
instructions to emit. Numba functions call it as they call any other. Python loops are unrolled, so a register tile or a Winograd
transform is written once for every size, vector width and processor.

Addresses are counted in float32 elements (the byte address divided by four), so that pointer arithmetic reads like
array indices. Nothing checks bounds: callers own the buffers (see `arena.py`).
"""
import dis
import functools
import hashlib
import inspect

from llvmlite import binding, ir
from numba import cfunc, njit, types
from numba.core import cgutils, config
from numba.core.registry import CPUDispatcher
from numba.extending import intrinsic

from tinyvgg.kernels.fast import cache

cache.install()
FLOAT, INT, LANE, DOUBLE = ir.FloatType(), ir.IntType(64), ir.IntType(32), ir.DoubleType()


def _features():
    """Return the names of the instruction sets of the processor that Numba compiles for."""
    if config.CPU_FEATURES is not None:
        return {name[1:] for name in config.CPU_FEATURES.split(",") if name.startswith("+")}
    return {name for name, present in binding.get_host_cpu_features().items() if present}


def _machine(features):
    """Return (floats in a vector register, number of registers, whether it fuses multiply and add)."""
    if "avx512f" in features:
        return 16, 32, True
    if "avx2" in features and "fma" in features:
        return 8, 16, True
    return 4, 32 if "neon" in features else 16, "neon" in features


FEATURES = _features()
WIDTH, REGISTERS, FUSES = _machine(FEATURES)
VECTOR = ir.VectorType(FLOAT, WIDTH)
FAR = -3e38

_OPTIONS = {"error_model": "numpy", "boundscheck": False}


def _content(value):
    """Return text for what a function has captured from the factory around it. Raises TypeError for what has no such text."""
    value = getattr(value, "py_func", value)
    if hasattr(value, "__wrapped__"):           # made by `machine`
        return value.__name__
    if inspect.isfunction(value):
        cells = [_content(cell.cell_contents) for cell in value.__closure__ or ()]
        code = value.__code__           # lambdas of one function share a name
        return f"{value.__module__}.{value.__qualname__}:{code.co_firstlineno}:{code.co_code.hex()}:{code.co_consts}({', '.join(cells)})"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_content, value))}]"
    if isinstance(value, (int, float, str, ir.Type, type(None))):
        return repr(value) if isinstance(value, str) else str(value)
    raise TypeError(f"a function that is compiled has taken a {type(value).__name__} from around it, which gives it no name")


def named(function):
    """Return the function with a name that no other function has. When compiled functions are read from disk, the linker takes two of
    the same name for one, also if different processes have compiled them. Functions of one factory differ by what they have captured.
    """
    if function.__closure__:
        mark = hashlib.sha256(_content(function).encode()).hexdigest()[:12]
        function.__name__, function.__qualname__ = f"{function.__name__}_{mark}", f"{function.__qualname__}_{mark}"
    return function


def compiled(function):
    """Compile for kernels that call it. It becomes part of each of these, so only kernels and entry points are kept on disk.

    Numba compiles it again for each constant in a call. That costs a fifth of the first start, and saves one to three hundredths of the
    time of every step after it. Nothing is compiled by which Python could call it: that would cost another fifth.
    """
    made = njit(nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True, **_OPTIONS)(named(function))
    if isinstance(made, CPUDispatcher):             # else Numba was told to compile nothing
        made.__class__ = Inner
    return made


class Inner(CPUDispatcher):
    """A function for kernels. A call from Python, which would jump to nowhere, raises TypeError."""

    def __call__(self, *_):
        raise TypeError(f"{self.__name__} is for kernels only; expected a call by a compiled function")


def entry_point(function):
    """Compile for Python, and keep the code on disk."""
    return njit(nogil=True, cache=True, no_cfunc_wrapper=True, **_OPTIONS)(named(function))


class Value:
    """An LLVM value with arithmetic: an index (64-bit), a number (float32), a vector of WIDTH numbers, or several joined."""

    def __init__(self, emitter, value):
        self.emitter, self.value = emitter, value

    @property
    def is_index(self):
        return self.value.type == INT

    def _apply(self, other, on_index, on_float):
        other = self._like(other)
        name = on_index if self.is_index else on_float
        return Value(self.emitter, getattr(self.emitter.builder, name)(self.value, other))

    def _like(self, other):
        if isinstance(other, Value):
            return other.value
        kind = self.value.type
        return ir.Constant(kind, other if kind in (INT, FLOAT) else [other] * kind.count)

    def __add__(self, other):
        return self._apply(other, "add", "fadd")

    def __sub__(self, other):
        return self._apply(other, "sub", "fsub")

    def __mul__(self, other):
        return self._apply(other, "mul", "fmul")

    __radd__, __rmul__ = __add__, __mul__

    def fma(self, factor, addend):
        """self * factor + addend, rounded once if the processor can; else in two steps, because llvm.fma would be a call for each number."""
        return self.emitter.call("llvm.fma" if FUSES else "llvm.fmuladd", self, self._wrap(factor), self._wrap(addend))

    def _wrap(self, other):
        return Value(self.emitter, self._like(other))

    def constant(self, number):
        """The number in every lane that this value has."""
        return self._wrap(number)

    def maximum(self, other):
        """The larger; NaN where either is NaN, so that a broken input stays visible."""
        return self.emitter.call("llvm.maximum", self, self._wrap(other))

    def minimum(self, other):
        return self.emitter.call("llvm.minimum", self, self._wrap(other))

    def sqrt(self):
        return self.emitter.call("llvm.sqrt", self)

    def __truediv__(self, other):
        return self._apply(other, "sdiv", "fdiv")

    def where(self, condition, otherwise):
        """self where the condition holds, else `otherwise`."""
        return Value(self.emitter, self.emitter.builder.select(condition, self.value, self._like(otherwise)))

    def positive(self):
        """Whether above 0, or NaN: a ReLU lets the gradient of a broken value through, so that it is noticed."""
        return self.emitter.builder.fcmp_unordered(">", self.value, self._like(0.0))

    def negative(self):
        return self.below(0.0)

    def equals(self, other):
        return self.emitter.builder.fcmp_ordered("==", self.value, self._like(other))

    def relu(self):
        """max(self, 0) that lets NaN through."""
        return self._wrap(0.0).where(self.negative(), self)

    def leaky(self, slope, ceiling):
        """self above 0, slope * self below 0, at most the ceiling; NaN stays NaN. At minus infinity a slope of 0 gives a number, not NaN."""
        return (self.maximum(FAR) * slope).where(self.negative(), self).minimum(ceiling)

    def absolute(self):
        return self.emitter.call("llvm.fabs", self)

    def below(self, other):
        """Whether smaller than `other`; NaN is not."""
        return self.emitter.builder.fcmp_ordered("<", self.value, self._like(other))

    def under(self, other):
        """Whether smaller than `other`, or NaN."""
        return self.emitter.builder.fcmp_unordered("<", self.value, self._like(other))

    def at_most(self, other):
        """Whether `other` or less; NaN is not."""
        return self.emitter.builder.fcmp_ordered("<=", self.value, self._like(other))

    def at_least(self, other):
        """Whether `other` or more; NaN is not."""
        return self.emitter.builder.fcmp_ordered(">=", self.value, self._like(other))


class Emitter:
    """Emits instructions for `machine` functions."""

    def __init__(self, builder):
        self.builder = builder
        # LLVM may split an address into 0 (a loop's first count) plus the rest, and Numba optimises a function again where it is
        # called: there an access from base 0 would count as undefined and vanish. llvmlite's own list of attributes is shorter.
        set.add(builder.function.attributes, "null_pointer_is_valid")

    def constant(self, number):
        return Value(self, ir.Constant(VECTOR, [number] * WIDTH))

    def zero(self):
        return self.constant(0.0)

    def _pointer(self, address, kind):
        return self.builder.inttoptr(self.builder.mul(address.value, INT(4)), kind.as_pointer())

    def load(self, address, kind=VECTOR):
        return Value(self, self.builder.load(self._pointer(address, kind), align=4))

    def store(self, vector, address):
        self.builder.store(vector.value, self._pointer(address, vector.value.type), align=4)

    def first_lanes(self, count):
        """Whether a lane's index is below `count`, for Value.where."""
        builder, kind = self.builder, ir.VectorType(LANE, WIDTH)
        one = builder.insert_element(ir.Constant(kind, ir.Undefined), builder.trunc(count.value, LANE), LANE(0))
        many = builder.shuffle_vector(one, ir.Constant(kind, ir.Undefined), ir.Constant(kind, [0] * WIDTH))
        return builder.icmp_signed("<", ir.Constant(kind, list(range(WIDTH))), many)

    def prefetch(self, address):
        """Prefetch the cache line of an address into the second level; the processor does not predict accesses with large strides."""
        kind = ir.FunctionType(ir.VoidType(), [ir.IntType(8).as_pointer(), LANE, LANE, LANE])
        self.builder.call(self.declare("llvm.prefetch.p0i8", kind),
                          [self._pointer(address, ir.IntType(8)), LANE(0), LANE(2), LANE(1)])

    def broadcast(self, address):
        """The number at `address` in every lane."""
        return self.spread(Value(self, self.builder.load(self._pointer(address, FLOAT), align=4)))

    def spread(self, number):
        nothing = ir.Constant(VECTOR, ir.Undefined)
        one = self.builder.insert_element(nothing, number.value, LANE(0))
        return Value(self, self.builder.shuffle_vector(one, nothing, ir.Constant(ir.VectorType(LANE, WIDTH), [0] * WIDTH)))

    def call(self, name, *arguments):
        """Call an LLVM intrinsic of vectors, or of numbers."""
        values = [a.value for a in arguments]
        kind = values[0].type
        suffix = "f32" if kind == FLOAT else f"v{kind.count}f32"
        function = self.declare(f"{name}.{suffix}", ir.FunctionType(kind, [kind] * len(values)))
        return Value(self, self.builder.call(function, values))

    def declare(self, name, kind):
        """Declare an external function by its symbol."""
        return cgutils.get_or_insert_function(self.builder.module, kind, name)

    def loop(self, count, carried, body):
        """Run carried = body(i, carried) for i in range(count), count >= 1; carried is a list of Values, kept in registers."""
        builder = self.builder
        before, block = builder.block, builder.append_basic_block("loop")
        builder.branch(block)
        builder.position_at_end(block)
        i = builder.phi(INT)
        phis = [builder.phi(v.value.type) for v in carried]
        after = body(Value(self, i), [Value(self, p) for p in phis])
        following = builder.add(i, INT(1))
        end, done = builder.block, builder.append_basic_block("done")
        for phi, first, last in zip([i, *phis], [INT(0), *(v.value for v in carried)], [following, *(v.value for v in after)],
                                    strict=True):
            phi.add_incoming(first, before)
            phi.add_incoming(last, end)
        builder.cbranch(builder.icmp_signed("<", following, count.value), block, done)
        builder.position_at_end(done)
        return after


def machine(function):
    """Make function(emitter, *values) callable from Numba functions; arguments are indices unless annotated with a Numba type.

    An annotated result is returned, otherwise nothing is.
    """
    signature, function = inspect.signature(function), named(function)
    parameters = list(signature.parameters.values())[1:]
    kinds = [types.intp if p.annotation is p.empty else p.annotation for p in parameters]
    returns = types.void if signature.return_annotation is signature.empty else signature.return_annotation

    def definition(typing, *arguments):
        def emit(context, builder, signature, values):
            emitter = Emitter(builder)
            result = function(emitter, *(Value(emitter, v) for v in values))
            return context.get_dummy_value() if result is None else result.value
        return returns(*kinds), emit

    names = [inspect.Parameter(p.name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for p in parameters]
    definition.__signature__ = inspect.Signature([inspect.Parameter("typing", inspect.Parameter.POSITIONAL_OR_KEYWORD), *names])
    definition.__name__, definition.__doc__ = f"{function.__module__}.{function.__name__}", function.__doc__
    return intrinsic(definition)


@machine
def as_pointer(e, address) -> types.voidptr:
    return Value(e, e.builder.inttoptr(e.builder.mul(address.value, INT(4)), ir.IntType(8).as_pointer()))


@machine
def call_kernel(e, function, step, thread, threads):
    """Call a kernel by its address."""
    kind = ir.FunctionType(ir.VoidType(), [INT] * 3)
    e.builder.call(e.builder.inttoptr(function.value, kind.as_pointer()), [step.value, thread.value, threads.value])


class Kernel:
    """A function of (step address, thread, threads) that a program can call: compiled, or read from disk, at its first use.

    Each is compiled by itself and called by address, so a program costs only the compile time of its own kernels. `fields` are the names
    of a step that its code, and that of the functions it calls, reads. A program must set every one of them.
    """

    def __init__(self, function):
        if function.__closure__:        # Numba finds on disk only what was compiled from cells that it can compare
            raise TypeError(f"the kernel {function.__name__} takes values from around it; expected a function of a module")
        self.function, self.__doc__, self._compiled = function, function.__doc__, None

    @functools.cached_property
    def fields(self):
        """Names of the attributes that the code reads."""
        found, seen, left = set(), set(), [self.function]
        while left:
            function = left.pop()
            function = getattr(function, "py_func", function)
            if function in seen or not inspect.isfunction(function):
                continue
            seen.add(function)
            code = function.__code__
            found |= {i.argval for i in dis.get_instructions(code) if i.opname in ("LOAD_ATTR", "LOAD_METHOD")}
            left += [function.__globals__[name] for name in code.co_names
                     if hasattr(function.__globals__.get(name), "py_func")]
        return found

    @property
    def address(self):
        if self._compiled is None:
            self._compiled = cfunc("void(intp, intp, intp)", cache=True, **_OPTIONS)(self.function)
        return self._compiled.address
