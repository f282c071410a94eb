"""Checks for layers, also for your own: gradients against finite differences, fast kernels against the reference."""
import numpy as np

from tinyvgg import kernels, rng


def check_gradient(function, vjp, x, generator, *, step=1e-6, tolerance=1e-6):
    """Compare <dy, J v> by a central difference along one random direction v with <vjp(dy), v>: two forward passes.

    function: x -> y; vjp: dy -> dx, called after function(x). x: float64, any shape. Raises AssertionError with both numbers if
    they differ by more than `tolerance`, relative to the larger.
    """
    v = generator.standard_normal(x.shape)
    dy = generator.standard_normal(np.shape(function(x)))
    analytic = np.vdot(vjp(dy), v)
    numeric = np.vdot(dy, function(x + step * v) - function(x - step * v)) / (2 * step)
    error = abs(analytic - numeric) / max(abs(analytic), abs(numeric), 1e-12)
    if not error <= tolerance:
        raise AssertionError(f"gradient is wrong: analytic {analytic:.9g}, numeric {numeric:.9g}, relative error {error:.1e}")


def check_layer(layer, input_shape, *, training=False, seed=0, tolerance=1e-6):
    """check_gradient with respect to the input and to every parameter of a layer, in float64. input_shape: (N, ...), or a list
    for joins.

    The moving statistics are given random values first; a dropout mask is held fixed.
    """
    generator = rng.generator(seed, "check_layer")
    many, shapes = _built(layer, input_shape, generator)
    parts = [generator.standard_normal(s) for s in shapes]
    for i, part in enumerate(parts):
        def by_input(value, i=i):
            arguments = [*parts[:i], value, *parts[i + 1:]]
            return _run(layer, arguments if many else value, training)
        check_gradient(by_input, lambda dy, i=i: layer.backward(dy)[i] if many else layer.backward(dy), part, generator,
                       tolerance=tolerance)
    x = parts if many else parts[0]
    for name in layer.parameters:
        def by_parameter(value, name=name):
            layer.parameters[name] = value
            return _run(layer, x, training)
        check_gradient(by_parameter, lambda dy, name=name: (layer.backward(dy), layer.gradients[name])[1],
                       layer.parameters[name], generator, tolerance=tolerance)


def _run(layer, x, training):
    """forward with dropout's generator set back, so that every call sees the same mask."""
    if hasattr(layer, "rng"):
        layer.rng = np.random.default_rng(1)
    return layer.forward(x, training=training)


def _built(layer, input_shape, generator):
    """Build a layer, and give parameters and moving statistics float64 values that no special case hides behind -> (whether it takes
    several inputs, their shapes)."""
    many = isinstance(input_shape, list)
    shapes = [tuple(s) for s in input_shape] if many else [tuple(input_shape)]
    layer.ensure_built([s[1:] for s in shapes] if many else shapes[0][1:], generator)
    for name, array in layer.parameters.items():
        layer.parameters[name] = array.astype(np.float64) + 0.3 * generator.standard_normal(array.shape)
    for name, array in layer.state.items():
        layer.state[name] = generator.uniform(0.5, 1.5, array.shape)
    return many, shapes


def compare_kernels(layer, input_shape, *, training=False, seed=0, dtype=np.float32, tolerance=1e-5):
    """Run a layer forward and backward on the fast and on the reference kernels and compare every result.

    The largest difference of y, dx and each gradient must stay within `tolerance` times that array's largest value. Returns
    {array: relative difference}; raises AssertionError that names the array.
    """
    generator = rng.generator(seed, "compare_kernels")
    many, shapes = _built(layer, input_shape, generator)
    for holder in (layer.parameters, layer.state):
        for key in holder:
            holder[key] = holder[key].astype(dtype)
    state = {key: value.copy() for key, value in layer.state.items()}
    parts = [generator.standard_normal(s).astype(dtype) for s in shapes]
    dy = generator.standard_normal(_run(layer, parts if many else parts[0], False).shape).astype(dtype)
    results = {}
    for name in ("reference", "fast"):
        layer.state = {key: value.copy() for key, value in state.items()}
        with kernels.use(name):
            y = _run(layer, parts if many else parts[0], training)
            dx = layer.backward(dy)
        found = {"y": y, **{f"d{k}": v for k, v in layer.gradients.items()}, **layer.state}
        found.update({f"dx{i}": d for i, d in enumerate(dx)} if many else {"dx": dx})
        results[name] = {k: np.array(v, np.float64) for k, v in found.items()}
    return _differences(results["fast"], results["reference"], tolerance)


def _differences(fast, reference, tolerance):
    errors = {}
    for name, expected in reference.items():
        if fast[name].shape != expected.shape:
            raise AssertionError(f"{name}: fast has shape {fast[name].shape}, reference {expected.shape}")
        errors[name] = float(np.abs(fast[name] - expected).max(initial=0) / max(np.abs(expected).max(initial=0), 1e-12))
        if not errors[name] <= tolerance:
            raise AssertionError(f"{name}: fast differs from reference by {errors[name]:.1e} of the largest value; allowed {tolerance:.0e}")
    return errors
