"""The rules of the optimizers, each in one pass over memory; kernels.reference has the equations."""
import numpy as np
from numba import types

from tinyvgg.kernels import reference
from tinyvgg.kernels.fast.arena import address
from tinyvgg.kernels.fast.elementwise import share
from tinyvgg.kernels.fast.program import step_at
from tinyvgg.kernels.fast.simd import FLOAT, VECTOR, WIDTH, Kernel, compiled, machine
from tinyvgg.kernels.fast.threads import run_step

WORTH_THREADS = 30_000      # elements from which on a second thread pays

float32 = types.float32


def _sgd(arrays, rate, *_):
    w, g = arrays
    return [w - rate * g, g]


def _momentum(arrays, rate, mu, *_):
    w, g, m = arrays
    m = mu * m - rate * g
    return [w + m, g, m]


def _nesterov(arrays, rate, mu, *_):
    w, g, m = arrays
    m = mu * m - rate * g
    return [w + (mu * m - rate * g), g, m]


def _adam(arrays, rate, rest_1, rest_2, epsilon):
    w, g, m, v = arrays                 # rest: 1 - beta, because float32 would round the difference here
    m = m + rest_1 * (g - m)
    v = v + rest_2 * (g * g - v)
    return [w - rate * m / (v.sqrt() + epsilon), g, m, v]


def _rmsprop(arrays, rate, rho, rest, epsilon):
    w, g, v = arrays
    v = rho * v + rest * g * g
    return [w - rate * g / (v + epsilon).sqrt(), g, v]


def make_update(rule, count, kind):
    """Return the rule for n vectors or single numbers (`kind`). count: how many of the arrays w, g and two slots it uses; g is
    not written."""
    @machine
    def update(e, n, w, g, slot_1, slot_2, rate: float32, factor_1: float32, factor_2: float32, epsilon: float32):
        numbers = [rate, factor_1, factor_2, epsilon]
        settings = [e.spread(number) for number in numbers] if kind is VECTOR else numbers

        def body(i, _):
            places = [array + i * (WIDTH if kind is VECTOR else 1) for array in (w, g, slot_1, slot_2)[:count]]
            for name, value, place in zip("wg12", rule([e.load(place, kind) for place in places], *settings), places,
                                          strict=False):
                if name != "g":
                    e.store(value, place)
            return []
        e.loop(n, [], body)
    return update


@compiled
def _parts(step, thread, threads):
    """Return this thread's share: (first element, number of vectors), and (first, number) of the elements left over."""
    first, last = share(step.size // WIDTH, thread, threads)
    rest = step.size % WIDTH if thread == 0 else 0
    return first * WIDTH, last - first, step.size - rest, rest


@compiled
def _apply(vectors_of, numbers_of, step, thread, threads):
    """Run one step of a rule on this thread's share; both functions are from make_update."""
    step = step_at(step)
    at, vectors, end, rest = _parts(step, thread, threads)
    w, g, m, v = step.kernel, step.gradient, step.slot_1, step.slot_2
    if vectors:
        vectors_of(vectors, w + at, g + at, m + at, v + at, step.rate, step.factor_1, step.factor_2, step.epsilon)
    if rest:
        numbers_of(rest, w + end, g + end, m + end, v + end, step.rate, step.factor_1, step.factor_2, step.epsilon)


sgd_vectors, sgd_numbers = make_update(_sgd, 2, VECTOR), make_update(_sgd, 2, FLOAT)


@Kernel
def sgd(step, thread, threads):
    """One step of sgd."""
    _apply(sgd_vectors, sgd_numbers, step, thread, threads)


momentum_vectors, momentum_numbers = make_update(_momentum, 3, VECTOR), make_update(_momentum, 3, FLOAT)


@Kernel
def momentum_step(step, thread, threads):
    """One step of momentum."""
    _apply(momentum_vectors, momentum_numbers, step, thread, threads)


nesterov_vectors, nesterov_numbers = make_update(_nesterov, 3, VECTOR), make_update(_nesterov, 3, FLOAT)


@Kernel
def nesterov_step(step, thread, threads):
    """One step of nesterov."""
    _apply(nesterov_vectors, nesterov_numbers, step, thread, threads)


adam_vectors, adam_numbers = make_update(_adam, 4, VECTOR), make_update(_adam, 4, FLOAT)


@Kernel
def adam(step, thread, threads):
    """One step of adam."""
    _apply(adam_vectors, adam_numbers, step, thread, threads)


rmsprop_vectors, rmsprop_numbers = make_update(_rmsprop, 3, VECTOR), make_update(_rmsprop, 3, FLOAT)


@Kernel
def rmsprop(step, thread, threads):
    """One step of rmsprop."""
    _apply(rmsprop_vectors, rmsprop_numbers, step, thread, threads)


def _run(kernel, w, g, slots, **settings):
    """Run a kernel if all arrays are contiguous float32; return whether they are."""
    arrays = [w, g, *slots]
    if not all(a.dtype == np.float32 and a.flags.c_contiguous and a.flags.aligned and a.size == w.size for a in arrays):
        return False
    places = dict(zip(("kernel", "gradient", "slot_1", "slot_2"), map(address, arrays), strict=False))
    run_step(kernel, w.size > WORTH_THREADS, size=w.size, **places, **settings)
    return True


def sgd_update(w, g, *, learning_rate):
    """See kernels.reference.sgd_update."""
    if not _run(sgd, w, g, [], rate=learning_rate):
        reference.sgd_update(w, g, learning_rate=learning_rate)


def momentum_update(w, g, m, *, learning_rate, momentum, nesterov):
    """See kernels.reference.momentum_update."""
    if not _run(nesterov_step if nesterov else momentum_step, w, g, [m], rate=learning_rate, factor_1=momentum):
        reference.momentum_update(w, g, m, learning_rate=learning_rate, momentum=momentum, nesterov=nesterov)


def adam_update(w, g, m, v, *, step_size, beta_1, beta_2, epsilon):
    """See kernels.reference.adam_update."""
    if not _run(adam, w, g, [m, v], rate=step_size, factor_1=1 - beta_1, factor_2=1 - beta_2, epsilon=epsilon):
        reference.adam_update(w, g, m, v, step_size=step_size, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon)


def rmsprop_update(w, g, v, m, *, learning_rate, rho, momentum, epsilon):
    """See kernels.reference.rmsprop_update."""
    if m is not None or not _run(rmsprop, w, g, [v], rate=learning_rate, factor_1=rho, factor_2=1 - rho, epsilon=epsilon):
        reference.rmsprop_update(w, g, v, m, learning_rate=learning_rate, rho=rho, momentum=momentum, epsilon=epsilon)
