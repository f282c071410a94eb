"""Five wrong answers that people give to each exercise, made from the right one; and what the sentence about it says."""
import zlib

import numpy as np

from tinyvgg.kernels import reference


def conv_in_c_order(x, k, b):
    """Kernel axes mixed up: C and F."""
    return reference.conv2d(x, k.reshape(*k.shape[:2], k.shape[3], k.shape[2]).transpose(0, 1, 3, 2), b)


def in_place(right, place=0):
    """Right, but the argument is changed as well."""
    def answer(*arguments):
        found = right(*arguments)
        arguments[place][...] = found
        return found
    return answer


def softmax(z):
    e = np.exp(z)
    return e / e.sum(axis=1, keepdims=True)


def onehot(z, y):
    return np.eye(z.shape[1])[y]


def pooled(values):
    n, h, w, c = values.shape
    return values.reshape(n, h // 2, 2, w // 2, 2, c).max(axis=(2, 4))


def crc(data, *, start=0xFFFFFFFF, end=0xFFFFFFFF, polynomial=0xEDB88320, bits=8):
    register = start
    for byte in data:
        register ^= byte
        for _ in range(bits):
            register = (register >> 1) ^ (polynomial if register & 1 else 0)
    return register ^ end


WRONG = {                               # exercise: five functions of the right answer
    "conv_forward": [
        lambda right: lambda x, k, b: right(x, k[::-1, ::-1], b),
        lambda right: lambda x, k, b: right(x, k, 0 * b),
        lambda right: conv_in_c_order,
        lambda right: lambda x, k, b: right(x, k, b) + (k.shape[0] * k.shape[1] - 1) * b,
        lambda right: lambda x, k, b: np.pad(right(x, k, b), ((0, 0), (1, 1), (1, 1), (0, 0)))],
    "conv_gradient": [
        lambda right: lambda dy, x, k: (right(dy, x, k[::-1, ::-1])[0], *right(dy, x, k)[1:]),
        lambda right: lambda dy, x, k: (*right(dy, x, k)[:2], dy.mean(axis=(0, 1, 2))),
        lambda right: lambda dy, x, k: (right(dy, x, k)[0], right(dy, x, k)[1] / len(x), right(dy, x, k)[2] + 0.0 * dy.shape[0]),
        lambda right: lambda dy, x, k: right(dy, x, k)[:2],
        lambda right: lambda dy, x, k: (*right(dy, x, k)[:2], dy.sum())],
    "same_padding": [
        lambda right: lambda *a: right(*a)[::-1],
        lambda right: lambda size, kernel, stride: (kernel // 2, kernel // 2),
        lambda right: lambda size, kernel, stride: ((kernel - 1) // 2, (kernel - 1) - (kernel - 1) // 2),
        lambda right: lambda size, kernel, stride: ((t := (-(-size // stride) - 1) * stride + kernel - size) // 2, t - t // 2),
        lambda right: lambda size, kernel, stride: sum(right(size, kernel, stride))],
    "winograd_1d": [
        lambda right: lambda d, g: tuple(sum((d[i + j] * g[j] for j in range(3)), 0) for i in range(2)),
        lambda right: lambda d, g: right(d, g)[::-1],
        lambda right: lambda d, g: right(d, [2 * v for v in g]),
        lambda right: lambda d, g: right(d, g[::-1]),
        lambda right: lambda d, g: right(d, g)[0]],
    "gain_and_shift": [
        lambda right: lambda g, b, m, v, e: (g / (np.sqrt(v) + e), b - m * g / (np.sqrt(v) + e)),
        lambda right: lambda g, b, m, v, e: (g / (v + e), b - m * g / (v + e)),
        lambda right: lambda g, b, m, v, e: (right(g, b, m, v, e)[0], b - m),
        lambda right: lambda g, b, m, v, e: (right(g, b, m, v, e)[0], b + m * right(g, b, m, v, e)[0]),
        lambda right: lambda g, b, m, v, e: right(g, b, m, v, 1e-3)],
    "fold_before": [
        lambda right: lambda k, b, g, s: (k * g, b + s),
        lambda right: lambda k, b, g, s: (k * g, b * g),
        lambda right: lambda k, b, g, s: (k, b * g + s),
        lambda right: lambda k, b, g, s: (k * g[:, None], b * g + s),
        lambda right: lambda k, b, g, s: (k * abs(g), b * abs(g) + s)],
    "fold_forward": [
        lambda right: lambda k, b, g, s: (k * g[:, None], b + k.sum() * s.sum()),
        lambda right: lambda k, b, g, s: (k * g[:, None], b),
        lambda right: lambda k, b, g, s: (k * g, b),
        lambda right: lambda k, b, g, s: (right(k, b, g, s)[0], b + np.einsum("pqcf,c->f", right(k, b, g, s)[0], s)),
        lambda right: lambda k, b, g, s: (right(k, b, g, s)[0], b + s)],
    "border_value": [
        lambda right: lambda g, s: -s,
        lambda right: lambda g, s: s / g,
        lambda right: lambda g, s: -s / abs(g),
        lambda right: lambda g, s: 0 * g,
        lambda right: lambda g, s: -s * g],
    "pool_then_norm": [
        lambda right: lambda x, g, s: right(x, abs(g), s),
        lambda right: lambda x, g, s: g * pooled(x) + s,
        lambda right: lambda x, g, s: pooled(g * x + s),
        lambda right: lambda x, g, s: pooled(x),
        lambda right: lambda x, g, s: right(x, g, 0 * s)],
    "eps_in_units": [
        lambda right: lambda n, low, high: n / 255,
        lambda right: lambda n, low, high: n,
        lambda right: lambda n, low, high: n / 256 * (high - low),
        lambda right: lambda n, low, high: n / 255 * high,
        lambda right: lambda n, low, high: low + n / 255 * (high - low)],
    "pgd_step": [
        lambda right: lambda z, x, g, step, eps, low, high: np.clip(z + np.clip(step * np.sign(g), -eps, eps), low, high),
        lambda right: lambda z, x, g, step, eps, low, high: np.clip(z + step * np.sign(g), x - eps, x + eps),
        lambda right: lambda z, x, g, step, eps, low, high: right(z, x, -g, step, eps, low, high),
        lambda right: lambda z, x, g, step, eps, low, high: np.clip(np.clip(z + step * g, x - eps, x + eps), low, high),
        lambda right: in_place(right)],
    "cross_entropy_gradient": [
        lambda right: lambda z, y: softmax(z) - onehot(z, y),
        lambda right: lambda z, y: onehot(z, y) - softmax(z - z.max(axis=1, keepdims=True)),
        lambda right: lambda z, y: softmax(z - z.max(axis=1, keepdims=True)),
        lambda right: lambda z, y: right(z, y) / len(z),
        lambda right: lambda z, y: right(z, y)[np.arange(len(z)), y]],
    "scaled_gradient": [
        lambda right: lambda z, y: right(z, y) * 0.5,
        lambda right: lambda z, y: softmax(z - z.max(axis=1, keepdims=True)) - onehot(z, y),
        lambda right: lambda z, y: (g := softmax(z - z.max(axis=1, keepdims=True)) - onehot(z, y)) / -g[np.arange(3), y][:, None],
        lambda right: lambda z, y: right(z, y) + onehot(z, y),
        lambda right: lambda z, y: -right(z, y)],
    "robust_accuracy": [
        lambda right: lambda y, clean, adversarial: np.mean(adversarial == y),
        lambda right: lambda y, clean, adversarial: np.mean(adversarial == clean),
        lambda right: lambda y, clean, adversarial: np.mean(adversarial[clean == y] == y[clean == y]),
        lambda right: lambda y, clean, adversarial: np.sum((clean == y) & (adversarial == y)),
        lambda right: lambda y, clean, adversarial: np.mean(clean == y) - np.mean(adversarial == y)],
    "scale_and_zero": [
        lambda right: lambda low, high: ((high - low) / 255, round(-low / ((high - low) / 255))),
        lambda right: lambda low, high: (right(low, high)[0], -min(low, 0) / right(low, high)[0]),
        lambda right: lambda low, high: (right(low, high)[0] * 255 / 256, right(low, high)[1]),
        lambda right: lambda low, high: (right(low, high)[0], -right(low, high)[1]),
        lambda right: lambda low, high: right(low, high)[0]],
    "smmulr": [
        lambda right: lambda a, b: np.rint(a.astype(np.float64) * b / 2**32).astype(np.int64),
        lambda right: lambda a, b: (a * b + (1 << 31)) >> 32,
        lambda right: lambda a, b: (a.astype(np.int64) * b) >> 32,
        lambda right: lambda a, b: (a.astype(np.int64) * b + (1 << 31)) >> 31,
        lambda right: lambda a, b: ((a.astype(np.int64) * b + (1 << 31)) / 2**32).astype(np.int64)],
    "multiplier": [
        lambda right: lambda factor, shift: round(factor * 2**32),
        lambda right: lambda factor, shift: round(factor * 2 ** (32 + shift)),
        lambda right: lambda factor, shift: int(factor * 2 ** (32 - shift)),
        lambda right: lambda factor, shift: factor * 2 ** (32 - shift),
        lambda right: lambda factor, shift: round(factor * 2 ** (31 - shift))],
    "folded_bias": [
        lambda right: lambda bias, w, zero: bias + zero * w.sum(axis=1),
        lambda right: lambda bias, w, zero: bias - zero * w.sum(),
        lambda right: lambda bias, w, zero: bias - zero * w.sum(axis=0),
        lambda right: lambda bias, w, zero: bias - zero,
        lambda right: lambda bias, w, zero: bias - w.sum(axis=1) / zero],
    "nearest_entry": [
        lambda right: lambda v, book: np.clip(np.searchsorted(book, v), 0, len(book) - 1),
        lambda right: lambda v, book: book[right(v, book)],
        lambda right: lambda v, book: right(v, book) + 1,
        lambda right: lambda v, book: right(v, book).ravel(),
        lambda right: lambda v, book: np.searchsorted(book, v)],
    "best_centres": [
        lambda right: lambda v, i, k: np.array([v[i == j].max(initial=0) for j in range(k)]),
        lambda right: lambda v, i, k: np.array([np.median(v[i == j]) if (i == j).any() else 0 for j in range(k)]),
        lambda right: lambda v, i, k: np.array([v[i == j].sum() for j in range(k)]),
        lambda right: lambda v, i, k: np.array([v[i == j].mean() for j in np.unique(i)]),
        lambda right: lambda v, i, k: right(v, i, k)[i]],
    "flip_int8": [
        lambda right: lambda value, bit: value ^ (1 << bit),
        lambda right: lambda value, bit: (value & 0xFF) ^ (1 << bit),
        lambda right: lambda value, bit: value | (1 << bit),
        lambda right: lambda value, bit: value + (1 << bit),
        lambda right: lambda value, bit: -value if bit == 7 else right(value, bit)],
    "flip_float32": [
        lambda right: lambda value, bit: np.float32(int(value) ^ (1 << bit)),
        lambda right: lambda value, bit: value ^ (1 << bit),
        lambda right: lambda value, bit: (np.array([value]).view(np.uint64) ^ np.uint64(1 << bit)).view(np.float64)[0],
        lambda right: lambda value, bit: right(value, 31 - bit),
        lambda right: lambda value, bit: np.float32(value).view(np.uint32) ^ np.uint32(1 << bit)],
    "hamming_encode": [
        lambda right: lambda d: np.concatenate([d, right(d)[:4]]),
        lambda right: lambda d: right(d)[:7],
        lambda right: lambda d: np.array([*right(d)[:7], 1 - right(d)[7]]),
        lambda right: lambda d: right(d)[[1, 0, 2, 3, 4, 5, 6, 7]],
        lambda right: lambda d: right(d)[::-1]],
    "hamming_decode": [
        lambda right: lambda w: (right(w)[0], "corrected" if right(w)[1] == "detected" else right(w)[1]),
        lambda right: lambda w: (w[[2, 4, 5, 6]], right(w)[1]),
        lambda right: lambda w: right(w)[0],
        lambda right: lambda w: (right(w)[0], "ok"),
        lambda right: lambda w: right(w)[::-1]],
    "wire_seconds": [
        lambda right: lambda n, baud: 8 * n / baud,
        lambda right: lambda n, baud: n / baud,
        lambda right: lambda n, baud: 9 * n / baud,
        lambda right: lambda n, baud: 10 * n * baud,
        lambda right: lambda n, baud: 1000 * 10 * n / baud],
    "cobs": [
        lambda right: lambda data: data.replace(b"\0", b"\1"),
        lambda right: lambda data: b"".join(bytes([len(part)]) + part for part in data.split(b"\0")),
        lambda right: lambda data: right(data) + b"\0",
        lambda right: lambda data: b"".join(bytes([len(part) + 1]) + part for part in data.split(b"\0") if part),
        lambda right: lambda data: b"".join(part + bytes([len(part) + 1]) for part in data.split(b"\0"))],
    "checksum": [
        lambda right: lambda data: crc(data, end=0),
        lambda right: lambda data: crc(data, start=0),
        lambda right: lambda data: crc(data, polynomial=0x04C11DB7),
        lambda right: lambda data: crc(data, bits=7),
        lambda right: lambda data: zlib.adler32(data)],
    "arena_bytes": [
        lambda right: lambda sizes: max(sizes),
        lambda right: lambda sizes: sum(sizes),
        lambda right: lambda sizes: sum(sorted(sizes)[-2:]),
        lambda right: lambda sizes: max(a + b for a, b in zip(sizes, sizes[1:], strict=False)),
        lambda right: lambda sizes: sizes[0] + sizes[1]],
    "milliseconds": [
        lambda right: lambda cycles, hz: cycles / hz,
        lambda right: lambda cycles, hz: hz / cycles,
        lambda right: lambda cycles, hz: cycles // hz * 1000,
        lambda right: lambda cycles, hz: 1e6 * cycles / hz,
        lambda right: lambda cycles, hz: cycles / 120_000],
    "momentum_step": [
        lambda right: lambda w, g, v, rate, m: (w + m * v + rate * g, m * v + rate * g),
        lambda right: lambda w, g, v, rate, m: (w - rate * g, m * v - rate * g),
        lambda right: lambda w, g, v, rate, m: (w - rate * (m * v + g), m * v + g),
        lambda right: lambda w, g, v, rate, m: (w + v, m * v - rate * g),
        lambda right: lambda w, g, v, rate, m: right(w, g, v, rate, m)[0]],
    "quantise_weights": [
        lambda right: lambda k: (np.rint(k / (s := np.abs(k).max() / 127)).astype(np.int8), np.full(k.shape[3], s)),
        lambda right: lambda k: (np.rint(k / (s := np.abs(k).max(axis=(0, 1, 2)) / 128)).astype(np.int8), s),
        lambda right: lambda k: ((k / (s := np.abs(k).max(axis=(0, 1, 2)) / 127)).astype(np.int8), s),
        lambda right: lambda k: (np.rint(k / (s := np.abs(k).max(axis=(0, 1, 2)) / 127)), s),
        lambda right: lambda k: (right(k)[0], np.abs(k).max(axis=3) / 127)],
    "convolution_c": [
        lambda right: lambda: right().replace("kernel[((p * k + q) * c + channel) * f + filter]",
                                              "kernel[((filter * k + p) * k + q) * c + channel]"),
        lambda right: lambda: right().replace(" - zero)", ")"),
        lambda right: lambda: right().replace("i += s", "i++").replace("j += s", "j++"),
        lambda right: lambda: right().replace("= bias[filter]", "= 0"),
        lambda right: lambda: right().replace("*sums++ = sum;", "*sums++ = sum")],
}
