"""Exercises of the course alone: a step of training, weights of eight bits, the convolution in C."""
import functools
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from tinyvgg.codegen.host import find_compiler, why_refused
from tinyvgg.testing.exercises._registry import BLANK, equal, exercise, expect, several, shaped

MAIN = """
#include <stdio.h>
#include <stdint.h>
void convolution(const uint8_t *x, int h, int w, int c, int zero, const int8_t *kernel, const int32_t *bias,
                 int k, int s, int f, int32_t *sums);
static uint8_t x[4096];
static int8_t kernel[4096];
static int32_t bias[64], guarded[4096 + 64];
int main(void)
{
    int v[8];                                   /* h w c zero k s f, and one more */
    while (fread(v, sizeof v[0], 8, stdin) == 8) {
        if (fread(x, 1, 4096, stdin) + fread(kernel, 1, 4096, stdin) + fread(bias, 4, 64, stdin) != 8256) return 3;
        for (int i = 0; i < 4096 + 64; i++) guarded[i] = 123456789;
        convolution(x, v[0], v[1], v[2], v[3], kernel, bias, v[4], v[5], v[6], guarded + 32);
        fwrite(guarded, 4, 4096 + 64, stdout);
        fflush(stdout);
    }
    return 0;
}
"""
SECONDS = 10
CASES = ((5, 6, 3, 0, 3, 1, 4), (7, 7, 2, 128, 3, 2, 3), (6, 4, 1, 5, 1, 1, 2), (8, 8, 4, 7, 5, 3, 5))       # h w c zero k s f


@exercise(where="what multiplies the old velocity and what the gradient; and the direction of a step that lowers a loss",
          how="first the new velocity: a part of the old one, and a step against the gradient; then the value moves by it")
def momentum_step(answer):
    """answer(value, gradient, velocity, rate, momentum) -> value, velocity."""
    generator = np.random.default_rng(9)
    for rate, momentum in ((0.1, 0.0), (0.1, 0.9), (0.5, 0.5)):
        value, gradient, velocity = generator.standard_normal((3, 2, 4))
        expected = momentum * velocity - rate * gradient
        found = several(answer(value, gradient, velocity, rate, momentum), 2)
        equal(found[1], expected, f"the velocity for rate {rate} and momentum {momentum}")
        equal(found[0], value + expected, f"the velocity is right; the value for rate {rate} and momentum {momentum}")


@exercise(where="one scale for each filter, the last axis; and what the largest weight of a filter becomes",
          how="the scale takes the largest size of a filter's weights to 127; divide, round to the nearest, convert last")
def quantise_weights(answer):
    """answer(kernel) -> int8 kernel, scale (F,)."""
    kernel = np.random.default_rng(10).standard_normal((3, 3, 4, 6)) * np.array([0.01, 0.1, 1, 2, 5, 100])
    kernel[0, 0, 0] = -np.abs(kernel).max(axis=(0, 1, 2)) * 1.1
    integers, scale = several(answer(kernel), 2)
    shaped(integers, kernel.shape, "the kernel of integers")
    shaped(scale, (6,), "the scale")
    kind = getattr(integers, "dtype", type(integers).__name__)
    expect(kind == np.int8, f"the integers are of type {kind}; expected int8")
    expected = np.abs(kernel).max(axis=(0, 1, 2)) / 127
    equal(scale / expected, np.ones(6), "each filter's scale, as a multiple of the right one")
    equal(integers, np.rint(kernel / expected), "the scale is right; the integers", tolerance=0)


@exercise(where="the order of the indices in memory: channels last in x, filters last in kernel and sums; and the stride",
          how="loops over rows, columns and filters of the output; inside, a sum that begins with the bias and runs over kernel "
              "rows, kernel columns and channels")
def convolution_c(answer):
    """answer() -> C text of void convolution(...), compiled and run in a process of its own."""
    text = answer()
    expect(text is not None and text is not Ellipsis, BLANK)
    expect(isinstance(text, str), f"the answer is of type {type(text).__name__}; expected the text of a C file")
    problem, results = _run(text)
    expect(problem is None, problem)
    for case, sums in zip(CASES, results, strict=True):
        h, w, c, zero, k, s, f = case
        oh, ow = (h - k) // s + 1, (w - k) // s + 1
        where = f"h {h}, w {w}, c {c}, zero {zero}, k {k}, s {s}, f {f}"
        inside = sums[32:32 + oh * ow * f]
        expect((np.delete(sums, np.s_[32:32 + oh * ow * f]) == 123456789).all(), f"for {where} it wrote outside of sums")
        expect(not (inside == 123456789).all(), f"for {where} nothing was written into sums: fill in the blank")
        expect(not (inside == 123456789).any(), f"for {where} some of the {oh * ow * f} sums were not written")
        equal(inside.reshape(oh, ow, f), _expected(case), f"sums[row][column][filter] for {where}", tolerance=0)


def _inputs(case):
    """x (h, w, c) uint8, kernel (k, k, c, f) int8, bias (f,) int32."""
    h, w, c, _, k, _, f = case
    generator = np.random.default_rng(sum(case))
    return (generator.integers(0, 256, (h, w, c)).astype(np.uint8), generator.integers(-127, 128, (k, k, c, f)).astype(np.int8),
            generator.integers(-1000, 1000, f).astype(np.int32))


def _expected(case):
    h, w, _, zero, k, s, _ = case
    x, kernel, bias = (a.astype(np.int64) for a in _inputs(case))
    windows = np.lib.stride_tricks.sliding_window_view(x - zero, (k, k), axis=(0, 1))[::s, ::s]
    return np.einsum("ijcpq,pqcf->ijf", windows, kernel) + bias


@functools.lru_cache(4)
def _run(text):
    """(what the compiler or the run came to grief at, None), or (None, the sums of each case between 32 guarding numbers)."""
    with tempfile.TemporaryDirectory(prefix="tinyvgg-") as folder:
        answer, main, program = (Path(folder) / name for name in ("answer.c", "main.c", "answer"))
        answer.write_text(text, encoding="utf-8")
        main.write_text(MAIN, encoding="utf-8")
        command = [*find_compiler(), "-std=c99", "-O1", str(answer), str(main), "-o", str(program)]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
        if done.returncode and "undefined" in done.stderr and "convolution" in done.stderr:
            return "the C has no function of the name convolution", None
        if done.returncode:
            return f"the compiler refused the C: {why_refused(done, folder).replace(str(folder), '').lstrip('/')[:160]}", None
        try:
            ran = subprocess.run([program], input=b"".join(map(_sent, CASES)), capture_output=True, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            return f"the C did not end within {SECONDS} seconds: one of its loops never stops", None
    if ran.returncode < 0:
        return f"the C crashed (signal {-ran.returncode}): an index lies outside of its array", None
    if ran.returncode or len(ran.stdout) != 4 * (4096 + 64) * len(CASES):
        return "the C ended the program before it had answered", None
    return None, np.frombuffer(ran.stdout, np.int32).reshape(len(CASES), -1)


def _sent(case):
    """A case as main.c reads it."""
    return np.array([*case, 0], np.int32).tobytes() + b"".join(
        a.tobytes().ljust(size, b"\0") for a, size in zip(_inputs(case), (4096, 4096, 256), strict=True))
