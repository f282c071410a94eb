"""The whole chain in one file of NumPy: train a small CNN, fool it, quantise it to eight bits, write its C, compare the bytes.

`python docs/course/mini.py [FOLDER]` does it all and writes the C into FOLDER, or into ./mini. From the library come the data and
the name of this machine's C compiler; the rest is NumPy, each part built on those above it.
Letters: N images, H rows = columns, C channels in, F filters (channels out), K kernel rows = columns, S stride, P border.
An image of bytes q in 0..255 becomes x = (q - 128) / 128, in -1..1, so that a border of zeros is a grey level, 128.
"""
import ctypes
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from tinyvgg.codegen.host import find_compiler
from tinyvgg.data import shapes

LAYERS = ((5, 2, 2, 3, 24), (3, 2, 1, 24, 48), (3, 2, 1, 48, 64), (4, 1, 0, 64, 10))   # K, S, P, C, F: H is 32, 16, 8, 4, 1
EPSILON = 1e-3                                                                        # under batch-norm's root


def real(q):
    """Bytes -> x in -1..1, float32."""
    return (q.astype(np.float32) - 128) / 128


def share(logits, y):
    """How many in 100 have their largest logit at y."""
    return 100 * float(np.mean(logits.argmax(axis=1) == y))


# --- 1. Convolution: a matrix product over what each output pixel sees ------------------------------------------------------
def patches(x, k, s, p):
    """x (N, H, H, C) -> (N, OH, OH, K*K*C): the window under the kernel for each output pixel, OH = (H + 2P - K) // S + 1."""
    x = np.pad(x, ((0, 0), (p, p), (p, p), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (k, k), axis=(1, 2))[:, ::s, ::s]    # (N, OH, OH, C, K, K)
    return windows.transpose(0, 1, 2, 4, 5, 3).reshape(*windows.shape[:3], -1)


def patches_backward(d, shape, k, s, p):
    """Pull d (N, OH, OH, K*K*C) back to x of `shape`: each pixel collects from all the windows that saw it."""
    (n, h, _, c), oh = shape, d.shape[1]
    dx, d = np.zeros((n, h + 2 * p, h + 2 * p, c), d.dtype), d.reshape(n, oh, oh, k, k, c)
    for i, j in np.ndindex(k, k):
        dx[:, i:i + s * oh:s, j:j + s * oh:s] += d[:, :, :, i, j]
    return dx[:, p:p + h, p:p + h]


# --- 2. The network in training: convolution, batch-norm, ReLU; the last layer is a convolution alone -----------------------
def new_network(random):
    """A list of layers, each {name: float32 array}: weights (K*K*C, F), the norm's gain, shift, moving mean and variance (F,)."""
    net = []
    for k, _, _, c, f in LAYERS:
        layer = {"weights": random.standard_normal((k * k * c, f)) * np.sqrt(2 / (k * k * c)),
                 "gain": np.ones(f), "shift": np.zeros(f), "mean": np.zeros(f), "variance": np.ones(f)}
        net.append({name: value.astype(np.float32) for name, value in layer.items()})
    return net


def forward(net, x):
    """Logits (N, 10) of a batch, normalised by its own mean and variance, and the tape that backward needs."""
    tape = []
    for layer, (k, s, p, *_) in zip(net, LAYERS, strict=True):
        hidden, seen = layer is not net[-1], patches(x, k, s, p)
        a = seen @ layer["weights"]                                                            # (N, OH, OH, F)
        mean, variance = (a.mean((0, 1, 2)), a.var((0, 1, 2))) if hidden else (layer["mean"], layer["variance"])
        layer["mean"], layer["variance"] = 0.9 * layer["mean"] + 0.1 * mean, 0.9 * layer["variance"] + 0.1 * variance
        normal = (a - mean) / (root := np.sqrt(variance + EPSILON))
        y = layer["gain"] * normal + layer["shift"]
        tape.append((x.shape, seen, normal, root, y > 0))
        x = np.maximum(y, 0) if hidden else y
    return x.reshape(len(x), -1), tape


def backward(net, tape, dy):
    """Gradients of each layer's weights, gain and shift, from dy (N, 10) = d loss / d logits."""
    gradients, dy = [], dy.reshape(len(dy), 1, 1, -1)
    for i in reversed(range(len(net))):
        layer, (shape, seen, normal, root, positive) = net[i], tape[i]
        hidden, count = i < len(net) - 1, normal[..., 0].size
        dy = dy * positive if hidden else dy
        shift, gain = dy.sum(axis=(0, 1, 2)), (dy * normal).sum(axis=(0, 1, 2))
        dy = dy - (shift + normal * gain) / count if hidden else dy       # the batch's mean and variance depend on x too
        da = layer["gain"] / root * dy
        gradients.insert(0, {"weights": np.tensordot(seen, da, ((0, 1, 2), (0, 1, 2))), "gain": gain, "shift": shift})
        dy = patches_backward(da @ layer["weights"].T, shape, *LAYERS[i][:3]) if i else None
    return gradients


def softmax_minus_onehot(logits, y):
    """d (-log softmax(logits)_y) / d logits, (N, 10)."""
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True) - np.eye(10, dtype=np.float32)[y]


def train(x, y, random, *, epochs, batch=100, rate=4e-3):
    """Adam, its rate falling along a cosine. x uint8 (N, 32, 32, 3), y (N,)."""
    net, step, steps = new_network(random), 0, epochs * (len(x) // batch)
    moments = [{name: (0.0, 0.0) for name in ("weights", "gain", "shift")} for _ in net]
    for epoch in range(epochs):
        order, right = random.permutation(len(x)), []
        for start in range(0, len(x) - batch + 1, batch):
            chosen, step = order[start:start + batch], step + 1
            z, tape = forward(net, real(x[chosen]))
            right.append(share(z, y[chosen]))
            gradients = backward(net, tape, softmax_minus_onehot(z, y[chosen]) / batch)
            for layer, moment, gradient in zip(net, moments, gradients, strict=True):
                for name, g in gradient.items():
                    m, v = moment[name] = 0.9 * moment[name][0] + 0.1 * g, 0.99 * moment[name][1] + 0.01 * g * g
                    m, v = m / (1 - 0.9 ** step), v / (1 - 0.99 ** step)
                    layer[name] -= rate * (1 + np.cos(np.pi * step / steps)) / 2 * m / (np.sqrt(v) + 1e-7)
        print(f"epoch {epoch + 1}: {np.mean(right):.1f} % right while training")
    return net


# --- 3. The network in use: batch-norm is constant now, and folds into the convolution --------------------------------------
def fold(net):
    """[(weights, bias)]: gain * (conv - mean) / root + shift is a convolution with other weights."""
    gains = [layer["gain"] / np.sqrt(layer["variance"] + EPSILON) for layer in net]
    return [(n["weights"] * g, n["shift"] - n["mean"] * g) for n, g in zip(net, gains, strict=True)]


def maps(folded, x):
    """The result of each layer, the last one's (N, 1, 1, 10)."""
    results = [x]
    for (weights, bias), (k, s, p, *_) in zip(folded, LAYERS, strict=True):
        y = patches(results[-1], k, s, p) @ weights + bias
        results.append(np.maximum(y, 0) if len(results) < len(LAYERS) else y)
    return results[1:]


def logits(folded, q):
    """Logits (N, 10) of images of bytes, some 250 at a time: what each pixel sees is a large array."""
    return np.concatenate([maps(folded, real(part))[-1].reshape(len(part), -1) for part in np.array_split(q, len(q) // 250 + 1)])


# --- 4. PGD: walk uphill in the loss, stay within eps of the image ----------------------------------------------------------
def input_gradient(folded, x, y):
    """d loss / d x of each image: the layers of section 3 backwards."""
    results = maps(folded, x)
    dy = softmax_minus_onehot(results[-1].reshape(len(x), -1), y).reshape(len(x), 1, 1, -1)
    for i in reversed(range(len(folded))):
        dy = dy * (results[i] > 0) if i < len(folded) - 1 else dy
        dy = patches_backward(dy @ folded[i][0].T, (results[i - 1] if i else x).shape, *LAYERS[i][:3])
    return dy


def pgd(folded, q, y, random, *, levels=8, step=2, steps=10):
    """Images of bytes within `levels` grey levels (an eps of levels / 255 where white is 1) of q that raise the loss."""
    x, eps = real(q), levels / 128                                     # one level is 1/128 in the network's unit
    z = np.clip(x + random.uniform(-eps, eps, x.shape).astype(np.float32), -1, 127 / 128)
    for _ in range(steps):
        z = z + step / 128 * np.sign(input_gradient(folded, z, y))
        z = np.clip(np.clip(z, x - eps, x + eps), -1, 127 / 128)       # back into the ball, then into the range of images
    return np.rint(128 * z + 128).astype(np.uint8)                     # eps is a whole number of levels: rounding stays inside


# --- 5. Eight bits: bytes times bytes, summed in 32 bits, rounded once ------------------------------------------------------
def quantise(folded, q):
    """Integer layers, for results as large as those of q: real weight = scale_w * int8, real result = scale * uint8 or int16."""
    integer, scale_in, zero = [], 1 / 128, 128
    for (weights, bias), result in zip(folded, maps(folded, real(q)), strict=True):
        low, high = (0, 255) if len(integer) < len(LAYERS) - 1 else (-32768, 32767)
        scale_w, scale = np.abs(weights).max(axis=0).astype(np.float64) / 127, float(np.abs(result).max()) / high
        multiplier = np.rint(scale_in * scale_w / scale * 2 ** 32)     # result = sum * multiplier / 2^32, in integers
        assert multiplier.max() < 2 ** 31, "the multiplier of a layer does not fit into 32 bits"
        integer.append({"weights": np.rint(weights / scale_w).astype(np.int8), "multiplier": multiplier.astype(np.int32),
                        "bias": np.rint(bias / (scale_in * scale_w)).astype(np.int32), "zero": zero, "low": low, "high": high})
        scale_in, zero = scale, 0                                      # after a ReLU byte 0 is real 0; in an image byte 128 is
    return integer


def integers(integer, q):
    """Logits (N, 10) int16 of images of bytes, in integers alone. Products in float64 are exact: every sum is below 2^53."""
    answers = []
    for x in np.array_split(q, len(q) // 250 + 1):
        for layer, (k, s, p, *_) in zip(integer, LAYERS, strict=True):
            seen = patches(x.astype(np.float64) - layer["zero"], k, s, p)
            total = (seen @ layer["weights"].astype(np.float64)).astype(np.int64) + layer["bias"]
            x = np.clip((total * layer["multiplier"] + 2 ** 31) >> 32, layer["low"], layer["high"])
        answers.append(x.reshape(len(x), -1).astype(np.int16))
    return np.concatenate(answers)


# --- 6. The same in C: constants and loops ----------------------------------------------------------------------------------
LAYER = """
static const int8_t weights{i}[{f}][{k}][{k}][{c}] = {{{weights}}};
static const int32_t bias{i}[{f}] = {{{bias}}}, multiplier{i}[{f}] = {{{multiplier}}};
static void layer{i}(const uint8_t x[{h}][{h}][{c}], {kind} y[{oh}][{oh}][{f}])
{{
    for (int i = 0; i < {oh}; i++) for (int j = 0; j < {oh}; j++) for (int f = 0; f < {f}; f++) {{
        int32_t sum = bias{i}[f];
        for (int p = 0; p < {k}; p++) for (int q = 0; q < {k}; q++) {{
            int u = {s} * i + p - {p}, v = {s} * j + q - {p};
            if (u >= 0 && u < {h} && v >= 0 && v < {h})                 /* beyond the border is real 0 */
                for (int c = 0; c < {c}; c++) sum += (x[u][v][c] - {zero}) * weights{i}[f][p][q][c];
        }}
        int64_t scaled = ((int64_t)sum * multiplier{i}[f] + (1LL << 31)) >> 32;
        y[i][j][f] = scaled < {low} ? {low} : scaled > {high} ? {high} : scaled;
    }}
}}"""


def c_code(integer):
    """The network as one C file: void network(const uint8_t *image, int16_t *logits)."""
    code, buffers, calls, h = ["#include <stdint.h>"], [], [], 32
    for i, (layer, (k, s, p, c, f)) in enumerate(zip(integer, LAYERS, strict=True)):
        numbers = {name: ", ".join(map(str, np.ravel(np.transpose(value)))) for name, value in layer.items()}
        oh, kind = (h + 2 * p - k) // s + 1, "uint8_t" if layer["low"] == 0 else "int16_t"
        code.append(LAYER.format(i=i, k=k, s=s, p=p, f=f, c=c, h=h, oh=oh, kind=kind, **numbers))
        buffers.append(f"    static {kind} map{i}[{oh}][{oh}][{f}];\n")
        calls.append(f"    layer{i}({f'map{i - 1}' if i else '(const void *)image'}, map{i});\n")
        h = oh
    calls.append(f"    for (int f = 0; f < {f}; f++) logits[f] = map{i}[0][0][f];\n}}\n")
    return "".join([*code, "\n\nvoid network(const uint8_t *image, int16_t *logits)\n{\n", *buffers, *calls])


def run_c(code, q, folder, compiler):
    """Compile `code` in `folder` and return its logits (N, 10) int16 for images of bytes."""
    source, library = Path(folder, "network.c"), Path(folder, "network.so").resolve()
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_text(code)
    subprocess.run([*compiler, "-O3", "-std=c99", "-shared", "-fPIC", source, "-o", library], check=True)
    network, answers = ctypes.CDLL(str(library)).network, np.zeros((len(q), 10), np.int16)
    for image, answer in zip(np.ascontiguousarray(q), answers, strict=True):
        network(image.ctypes.data_as(ctypes.c_void_p), answer.ctypes.data_as(ctypes.c_void_p))
    return answers


def main(folder="mini", *, n_train=10_000, n_test=2_000, epochs=4, n_attacked=500, seed=0):
    """Run the chain, print a line for each step, return what was made."""
    begin, random, compiler = time.perf_counter(), np.random.default_rng(seed), find_compiler()      # no compiler: stop at once
    data = shapes.load(n_train, n_test)
    x, y, truth = data.x_test, data.y_test, data.y_test[:n_attacked]
    folded = fold(train(data.x_train, data.y_train, random, epochs=epochs))
    print(f"float: {share(logits(folded, x), y):.1f} % of {n_test} test images right")
    attacked = pgd(folded, x[:n_attacked], truth, random)
    print(f"PGD: {share(logits(folded, attacked), truth):.1f} % of the first {n_attacked} right at 8/255")
    integer = quantise(folded, data.x_train[:500])
    answers, fooled = integers(integer, x), integers(integer, attacked)
    print(f"int8: {share(answers, y):.1f} % of {n_test} right; {share(fooled, truth):.1f} % of the {n_attacked} attacked ones")
    in_c = run_c(c_code(integer), x, folder, compiler)
    same = (answers.view(np.uint8) == in_c.view(np.uint8)).all(axis=1).sum()
    print(f"C: {same} of {n_test} answers equal the integers' byte for byte\ntime: {time.perf_counter() - begin:.1f} s")
    return {"folded": folded, "attacked": attacked, "integer": integer, "answers": answers, "in_c": in_c}


if __name__ == "__main__":
    main(*sys.argv[1:2])
