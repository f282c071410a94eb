"""Whether compiled C computes what an integer model does, byte for byte."""
import numpy as np

from tinyvgg import rng


def assert_bit_exact(model, x=None, *, compiler="auto", flags=(), seed=0):
    """Compile a QuantizedModel's C on this machine and compare every tensor of every op with the simulation.

    x (N, H, W, C) uint8, or None for 4 random images. flags: more of the compiler's options. Raises AssertionError that names the
    first op and element that differ.
    """
    from tinyvgg.codegen import HostModel
    if x is None:
        x = rng.generator(seed, "bit exact").integers(0, 256, (4, *model.input_shape), dtype=np.uint8)
    simulated, compiled = model.trace(x), HostModel(model, compiler=compiler, flags=flags).trace(x)
    for name, expected in ((name, simulated[name]) for name in compiled):
        found = compiled[name].reshape(expected.shape)
        differs = found != expected
        if expected.dtype.kind == "f":              # a softmax of floats adds up in another order
            differs = np.abs(found - expected) > 1e-6 + 1e-5 * np.abs(expected)
        if differs.any():
            at = tuple(int(i) for i in np.argwhere(differs)[0])
            raise AssertionError(f"{name}{list(at)} is {found[at]} in C and {expected[at]} in the simulation")
