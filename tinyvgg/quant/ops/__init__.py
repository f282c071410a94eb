"""The ops of a graph: one file each, with all that an op is but its C (tinyvgg/codegen/ops has an emitter and a kernel for each).

An op is a frozen dataclass whose methods are its meaning: `output_shape` (which checks its fields too), `forward` and `backward`
in floats, `lower` from floats to integers, `simulate` in integers, bit by bit, which is the definition that C reproduces, `check`
that no value leaves 32 bits, `dequantize` back to floats, `counts` of what its cost is a sum of. A graph of floats and one of
integers have the same ops; an op of integers has a `scale`. To add one: a file here. What it lacks is named by an error.

Tensors. Between ops of integers there are uint8 tensors, (H, W, C) or (n,), each with one scale and zero point: real = scale *
(q - zero). A border of "same" padding holds the zero point, so it is real 0.

Zero points. sum (x - z) w = sum x w - z sum w, also at a border, which holds z: a kernel may leave x as it is and start from
bias - z * sum(w), modulo 2^32.

Variants. A convolution's `variant` names the kernel that C and firmware use for it. All variants compute the same integers,
Winograd's too (codegen/kernels/tv_winograd4.h says why); code generation refuses one that cannot, because a sum could leave its
range.

Overflow. `check` proves for every channel, from the weights and x in 0..255, that acc + bias and each partial sum, (acc + bias)
<< shift (leaky: one bit more) and activation(v) + offset stay within int32; lowering never makes a graph that fails it.
"""
import pkgutil
from importlib import import_module

from tinyvgg.quant.ops.base import Op


def _found():
    """{name: class} of the ops that the files here define: the classes that no other is made of."""
    modules = [import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__)]
    classes = [cls for module in modules for cls in vars(module).values()
               if isinstance(cls, type) and issubclass(cls, Op) and cls.__module__ == module.__name__]
    return {cls.__name__: cls for cls in classes if not cls.__subclasses__()}


OPS = _found()
