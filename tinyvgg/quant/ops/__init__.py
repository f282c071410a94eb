"""The ops of a graph, one file each. A file has everything about its op except the C code, which is in tinyvgg/codegen/ops.

An op is a frozen dataclass. `output_shape` computes the shape of the result and checks the fields. `forward` and `backward`
compute in floats, and `lower` turns a float op into an integer op. `simulate` computes in integers, bit by bit; it is the
definition that the C code reproduces. `check` proves that no value leaves 32 bits, `dequantize` gives the float op back, and
`counts` gives the numbers from which the cost is computed. Float graphs and integer graphs have the same ops; an integer op has a
`scale`. To add an op, add a file here. A method that is missing is named by an error when it is needed.

Tensors. Integer ops read and write uint8 tensors, (H, W, C) or (n,), each with one scale and zero point: real = scale *
(q - zero). A border of "same" padding holds the zero point, so it is real 0.

Zero points. sum (x - z) w = sum x w - z sum w. This also holds at a border, which is filled with z. So a kernel may use x without
subtracting z and start from bias - z * sum(w), modulo 2^32.

Variants. A convolution's `variant` names the kernel that C and firmware use for it. All variants, Winograd's too, compute the
same integers (codegen/kernels/tv_winograd4.h says why). Code generation refuses a variant with which a sum could leave its range.

Overflow. `check` proves, for every channel, from the weights and x in 0..255, that all of these stay within int32: acc + bias and
each partial sum, (acc + bias) << shift (leaky: one bit more) and activation(v) + offset. Lowering never makes a graph that fails.
"""
import pkgutil
from importlib import import_module

from tinyvgg.quant.ops.base import Op


def _found():
    """Return {name: class} of the ops in the files here: the classes that have no subclass."""
    modules = [import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__)]
    classes = [cls for module in modules for cls in vars(module).values()
               if isinstance(cls, type) and issubclass(cls, Op) and cls.__module__ == module.__name__]
    return {cls.__name__: cls for cls in classes if not cls.__subclasses__()}


OPS = _found()
