"""Batch normalisation with the ReLU, dropout and max-pool around it: statistics, forward and backward pass.

Notation of elementwise.py: R is the result that the convolution stored. A step's x is R, its y the normalised (and pooled)
result. `filters` is the number of real channels; padded channels of the last vector have scale and offset 0.
"""
import math

import numpy as np
from numba import types

from tinyvgg.kernels.fast.elementwise import (
    GATE_AFTER,
    GATE_BEFORE,
    LEAK_AFTER,
    NO_GATE,
    add_to_doubles,
    clear,
    following,
    gated,
    load_double,
    load_float,
    pooled,
    share,
    store_float,
    through_tail,
    unpool,
)
from tinyvgg.kernels.fast.program import step_at
from tinyvgg.kernels.fast.simd import WIDTH, Kernel, compiled, machine

AHEAD = 1024            # elements from what is read to what is asked for


@Kernel
def statistics(step, thread, threads):
    """From the threads' float64 sums, compute scale and offset (step.affine) and mean and inverse standard deviation
    (step.moments), and update the moving statistics.
    """
    step = step_at(step)
    channels, count = step.y.channels, step.images * step.y.height * step.y.width
    unbias = count / (count - 1) if step.unbiased and count > 1 else 1.0
    first, last = share(step.filters, thread, threads)
    for c in range(first, last):
        total = squares = 0.0
        for t in range(threads):
            sums = step.sums + t * step.sums_size + 2 * channels
            total += load_double(sums + 2 * c)
            squares += load_double(sums + 2 * (channels + c))
        mean = total / count
        variance = squares / count - mean * mean
        if variance < 0:
            variance = 0.0
        _set_affine(step, c, mean, variance)
        _move(step.moving_mean + c, mean, step.momentum)
        _move(step.moving_variance + c, variance * unbias, step.momentum)


@compiled
def _move(at, value, momentum):
    old = load_float(at)
    store_float(old + np.float32((value - old) * (1 - momentum)), at)


@compiled
def _set_affine(step, c, mean, variance):
    gamma = load_float(step.gamma + c) if step.gamma else np.float32(1)
    beta = load_float(step.beta + c) if step.beta else np.float32(0)
    scale = gamma / math.sqrt(variance + step.epsilon)
    store_float(np.float32(scale), step.affine + c)
    store_float(np.float32(beta - scale * mean), step.affine + step.y.channels + c)
    store_float(np.float32(mean), step.moments + c)
    store_float(np.float32(1 / math.sqrt(variance + step.epsilon)), step.moments + step.y.channels + c)


@Kernel
def moving_affine(step, thread, threads):
    """Compute scale and offset (step.affine) from the moving statistics."""
    step = step_at(step)
    first, last = share(step.filters, thread, threads)
    for c in range(first, last):
        _set_affine(step, c, np.float64(load_float(step.moving_mean + c)), np.float64(load_float(step.moving_variance + c)))


@machine
def sum_row(e, r, pixel, count, sums, channels):
    """sums += R and R^2 over a row of pixels, one vector of channels."""
    def body(i, totals):
        value = e.load(r + i * pixel)
        return [totals[0] + value, value.fma(value, totals[1])]
    for total, at in zip(e.loop(count, [e.load(sums), e.load(sums + channels)], body), [sums, sums + channels], strict=True):
        e.store(total, at)


@Kernel
def sums(step, thread, threads):
    """Per-channel sums of step.y and its squares, if the convolution could not compute them."""
    step = step_at(step)
    y, channels = step.y, step.y.channels
    rows = step.images * y.height
    first, last = share(rows, thread, threads)
    at = step.sums + thread * step.sums_size
    clear(at, step.sums_size // WIDTH)
    for item in range(first, last):
        n, i = item // y.height, item % y.height
        for c in range(0, channels, WIDTH):
            sum_row(y.at + n * y.image + i * y.row + c, channels, y.width, at + c, channels)
        add_to_doubles(at, at + 2 * channels, 2 * channels // WIDTH)


def each_vector(e, pixels, channels, body):
    """Emit body(pixel, c) for each vector of channels of each pixel, in the order of the memory, which the processor fetches ahead: twice
    as fast as going along the row for each vector.
    """
    def pixel(i, _):
        def vector(k, _):
            body(i, k * WIDTH)
            return []
        e.loop(channels / WIDTH, [], vector)
        return []
    e.loop(pixels, [], pixel)


def increase_at(e, at, value):
    e.store(e.load(at) + value, at)


def make_apply(gate, pool):
    """Return y = scale * R + offset for a row of count pixels, then the activation, and with a pool the largest of each 2x2
    cell."""
    @machine
    def apply_row(e, r, row, y, count, affine, channels, leak: types.float32, ceiling: types.float32):
        limits = e.spread(leak), e.spread(ceiling)

        def body(i, c):
            scale, offset = e.load(affine + c), e.load(affine + channels + c)
            at = r + i * channels * (2 if pool else 1) + c
            cell = [at, at + channels, at + row, at + row + channels] if pool else [at]
            for spot in cell[::2]:
                e.prefetch(spot + AHEAD)
            value = pooled([e.load(a).fma(scale, offset) for a in cell])
            value = value.relu() if gate == GATE_AFTER else value.leaky(*limits) if gate == LEAK_AFTER else value
            e.store(value, y + i * channels + c)
        each_vector(e, count, channels, body)
    return apply_row


apply_row, apply_row_relu, apply_row_leak = (make_apply(gate, False) for gate in (NO_GATE, GATE_AFTER, LEAK_AFTER))
apply_row_pool, apply_row_relu_pool, apply_row_leak_pool = (make_apply(gate, True) for gate in (NO_GATE, GATE_AFTER, LEAK_AFTER))


@Kernel
def apply(step, thread, threads):
    """y = scale * R + offset, then the activation (gate), and the max-pool if wanted."""
    step = step_at(step)
    r, y, channels = step.x, step.y, step.x.channels
    first, last = share(step.images * y.height, thread, threads)
    for item in range(first, last):
        n, i = item // y.height, item % y.height
        source = r.at + n * r.image + i * r.row * (2 if step.pool else 1)
        target = y.at + n * y.image + i * y.row
        common = (source, r.row, target, y.width, step.affine, channels, step.leak, step.ceiling)
        if step.pool and step.gate == GATE_AFTER:
            apply_row_relu_pool(*common)
        elif step.pool and step.gate == LEAK_AFTER:
            apply_row_leak_pool(*common)
        elif step.pool:
            apply_row_pool(*common)
        elif step.gate == GATE_AFTER:
            apply_row_relu(*common)
        elif step.gate == LEAK_AFTER:
            apply_row_leak(*common)
        else:
            apply_row(*common)


def make_gradient_sums(pool, gate):
    """Return sums += g and g * R over a row, where R is the value to which g belongs."""
    @machine
    def gradient_sums_row(e, r, row, g, count, affine, channels, sums, leak: types.float32, ceiling: types.float32):
        limits = e.spread(leak), e.spread(ceiling)

        def body(i, c):
            scale, offset = e.load(affine + c), e.load(affine + channels + c)
            value = e.load(g + i * channels + c)
            at = r + i * channels * (2 if pool else 1) + c
            for spot in [g + i * channels + c, at, at + row][:3 if pool else 2]:
                e.prefetch(spot + AHEAD)
            if pool:
                reached = _largest([e.load(a) for a in (at, at + channels, at + row, at + row + channels)], scale, offset)
            else:
                reached = e.load(at)
            value = gated(value, reached.fma(scale, offset), gate, limits)
            increase_at(e, sums + c, value)
            e.store(value.fma(reached, e.load(sums + channels + c)), sums + channels + c)
        each_vector(e, count, channels, body)
    return gradient_sums_row


def _largest(cell, scale, offset):
    """Return the R of the first largest normalised value of a cell."""
    heights = [value.fma(scale, offset) for value in cell]
    top, reached = pooled(heights), cell[-1]
    for value, height in reversed(list(zip(cell[:-1], heights, strict=False))):
        reached = value.where(height.equals(top), reached)
    return reached


gradient_sums_row, gradient_sums_row_pool = make_gradient_sums(False, NO_GATE), make_gradient_sums(True, NO_GATE)
gradient_sums_row_after, gradient_sums_row_after_pool = (make_gradient_sums(pool, GATE_AFTER) for pool in (False, True))
gradient_sums_row_leak, gradient_sums_row_leak_pool = (make_gradient_sums(pool, LEAK_AFTER) for pool in (False, True))


@Kernel
def gradient_sums(step, thread, threads):
    """Per-channel sums of g and g * R, into the thread's float64 sums."""
    step = step_at(step)
    r, g, channels = step.y, step.g, step.y.channels
    first, last = share(step.images * g.height, thread, threads)
    at = step.sums + thread * step.sums_size
    clear(at, step.sums_size // WIDTH)
    for item in range(first, last):
        n, i = item // g.height, item % g.height
        source = r.at + n * r.image + i * r.row * (2 if step.pool else 1)
        gradient = g.at + n * g.image + i * g.row
        common = (source, r.row, gradient, g.width, step.affine, channels, at, step.leak, step.ceiling)
        if step.pool and step.gate == GATE_AFTER:
            gradient_sums_row_after_pool(*common)
        elif step.pool and step.gate == LEAK_AFTER:
            gradient_sums_row_leak_pool(*common)
        elif step.pool:
            gradient_sums_row_pool(*common)
        elif step.gate == GATE_AFTER:
            gradient_sums_row_after(*common)
        elif step.gate == LEAK_AFTER:
            gradient_sums_row_leak(*common)
        else:
            gradient_sums_row(*common)
        if i + 1 == g.height or item + 1 == last:
            add_to_doubles(at, at + 2 * channels, 2 * channels // WIDTH)


@Kernel
def gradient_slopes(step, thread, threads):
    """From these sums, compute the gradients of gamma and beta and the two terms of dR (step.slope; none if the statistics are
    frozen).
    """
    step = step_at(step)
    channels, count = step.y.channels, step.images * step.y.height * step.y.width
    first, last = share(step.filters, thread, threads)
    for c in range(first, last):
        total = product = 0.0
        for t in range(threads):
            sums = step.sums + t * step.sums_size + 2 * channels
            total += load_double(sums + 2 * c)
            product += load_double(sums + 2 * (channels + c))
        mean, inverse = np.float64(load_float(step.moments + c)), np.float64(load_float(step.moments + channels + c))
        normalised = (product - mean * total) * inverse                # sum g * (R - mean) / sqrt(variance + epsilon)
        if step.gamma_gradient:
            store_float(np.float32(normalised), step.gamma_gradient + c)
        if step.beta_gradient:
            store_float(np.float32(total), step.beta_gradient + c)
        scale = np.float64(load_float(step.affine + c))
        if not step.frozen:
            slope = -scale * inverse * normalised / count
            store_float(np.float32(-scale * total / count - slope * mean), step.slope + c)
            store_float(np.float32(slope), step.slope + channels + c)


def make_gradient_row(gate, pool):
    """Return dR for a row of pixels (two rows with pooling), and the bias gradient's sum."""
    inner = NO_GATE if pool and gate != GATE_BEFORE else gate

    @machine
    def gradient_row(e, r, r_row, g, g_pixel, d, d_row, d_pixel, pixel, count, c, affine, slope, mask, channels, bias_sum,
                     leak: types.float32, ceiling: types.float32):
        factors, scale, offset = e.load(mask), e.load(affine), e.load(affine + channels)
        limits = e.spread(leak), e.spread(ceiling)
        pull, slopes = scale * factors, [e.load(slope) * factors, e.load(slope + channels) * factors]
        size = 2 if pool else 1

        def body(i, totals):
            column = i * pixel * size
            next_rows = r + (r_row * size if pool else count * pixel)
            for row in range(size):
                e.prefetch(next_rows + r_row * row + following(c, i, count * size, 0, size))
            e.prefetch(g + following(c, i, count, g_pixel))
            values = [[e.load(r + column + r_row * a + pixel * b) for b in range(size)] for a in range(size)]
            gradient = [[e.load(g + i * g_pixel)]]
            spread = unpool(e, values, gradient, scale, offset, gate, limits) if pool else gradient
            total = totals[0]
            for a in range(size):
                for b in range(size):
                    value = through_tail(values[a][b], spread[a][b], pull, slopes, scale, offset, inner, limits)
                    e.store(value, d + i * d_pixel * size + d_row * a + d_pixel * b)
                    total = total + value
            return [total]
        e.store(e.loop(count, [e.load(bias_sum)], body)[0], bias_sum)
    return gradient_row


gradient_row_before, gradient_row_before_pool = make_gradient_row(GATE_BEFORE, False), make_gradient_row(GATE_BEFORE, True)
gradient_row_after, gradient_row_after_pool = make_gradient_row(GATE_AFTER, False), make_gradient_row(GATE_AFTER, True)
gradient_row_leak, gradient_row_leak_pool = make_gradient_row(LEAK_AFTER, False), make_gradient_row(LEAK_AFTER, True)
gradient_row_none, gradient_row_none_pool = make_gradient_row(NO_GATE, False), make_gradient_row(NO_GATE, True)


@compiled
def gradient_of_row(step, source, incoming, g_pixel, target, c, mask, at, count, pitch):
    """Compute one row of dR for a vector of channels; its pixels are `pitch` elements apart."""
    channels = step.y.channels
    common = (source + c, 0, incoming + c, g_pixel, target + c, 0, pitch, channels, count, c, step.affine + c, step.slope + c,
              mask + c, channels, at + c, step.leak, step.ceiling)
    if step.gate == GATE_AFTER:
        gradient_row_after(*common)
    elif step.gate == LEAK_AFTER:
        gradient_row_leak(*common)
    elif step.gate == NO_GATE:
        gradient_row_none(*common)
    else:
        gradient_row_before(*common)


@Kernel
def gradient(step, thread, threads):
    """Pull step.g back through pool, normalisation, dropout mask and ReLU to dR in step.dx; the bias gradient goes to
    step.sums."""
    step = step_at(step)
    r, g, d, channels = step.y, step.g, step.dx, step.y.channels
    size = 2 if step.pool else 1
    rows = (r.height + size - 1) // size
    first, last = share(step.images * rows, thread, threads)
    at = step.sums + thread * step.sums_size
    clear(at, step.sums_size // WIDTH)
    for item in range(first, last):
        n, i = item // rows, item % rows
        source, target = r.at + n * r.image + i * size * r.row, d.at + n * d.image + i * size * d.row
        incoming = g.at + n * g.image + i * g.row
        mask = step.mask + n * step.mask_image
        for c in range(0, channels, WIDTH):
            if step.pool:
                _pooled_rows(step, i, source, incoming, target, c, mask, at)
            else:
                gradient_of_row(step, source, incoming, channels, target, c, mask, at, r.width, channels)
        if i + 1 == rows or item + 1 == last:
            add_to_doubles(at, at + 2 * channels, channels // WIDTH)


@compiled
def _pooled_rows(step, i, source, incoming, target, c, mask, at):
    """Compute one row of 2x2 cells; an odd last row or column is in no cell and gets no gradient from the pool."""
    r, d, g, channels = step.y, step.dx, step.g, step.y.channels
    cells = g.width if i < g.height else 0
    if cells:
        common = (source + c, r.row, incoming + c, channels, target + c, d.row, channels, channels, cells, c, step.affine + c,
                  step.slope + c, mask + c, channels, at + c, step.leak, step.ceiling)
        if step.gate == GATE_AFTER:
            gradient_row_after_pool(*common)
        elif step.gate == LEAK_AFTER:
            gradient_row_leak_pool(*common)
        elif step.gate == NO_GATE:
            gradient_row_none_pool(*common)
        else:
            gradient_row_before_pool(*common)
    rest = r.width - 2 * cells
    if rest:
        for k in range(min(2, r.height - 2 * i)):
            place = 2 * cells * channels
            gradient_of_row(step, source + k * r.row + place, step.zeros, 0, target + k * d.row + place, c, mask, at, rest, channels)


@Kernel
def bias_gradient(step, thread, threads):
    """Sum the threads' float64 bias gradients into step.bias_gradient."""
    step = step_at(step)
    first, last = share(step.filters, thread, threads)
    for f in range(first, last):
        total = 0.0
        for t in range(threads):
            total += load_double(step.sums + t * step.sums_size + 2 * step.y.channels + 2 * f)
        store_float(np.float32(total), step.bias_gradient + f)
