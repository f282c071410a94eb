"""The chain of the course: what lies between the pieces that you write in mine.py.

Images are 16x16 (every second pixel of `shapes`), bytes q; the network takes x = (q - 128) / 128. A network is a list of layers,
each {name: array}: kernel (K, K, C, F) and bias (F,), and gamma, beta, mean, variance (F,) where there is a batch-norm; a ReLU
follows each layer but the last. Each step asks for your pieces by name, has them checked, and leaves a file for the next lesson.
"""
import ctypes
import functools
import os
import subprocess
from pathlib import Path
from string import Template

import numpy as np

from tinyvgg.codegen.host import find_compiler
from tinyvgg.data import shapes
from tinyvgg.testing import exercises

LAYERS = ((3, 3, 8, 2), (3, 8, 16, 1), (5, 16, 10, 1))             # K, C, F, stride: maps of 16 -> 7 -> 5 -> 1
SIZES = {"train": 3000, "test": 500, "epochs": 5, "attacked": 100}
LEFT_BY = {"plain.npz": 3, "normed.npz": 4, "net.npz": 4, "attacked.npy": 5, "integer.npz": 6, "network.c": 7}
EPSILON = 1e-3
HERE, FOLDER = Path(__file__).parent, Path(os.environ.get("TINYVGG_COURSE", "."))         # what lessons leave lies in FOLDER


def needs(*names, files=()):
    """A step that runs only when these pieces are right and these files of lessons before are there; else a sentence says so."""
    def step(function):
        @functools.wraps(function)
        def run(mine, *arguments, **settings):
            for name in names:
                exercises.require(name, getattr(mine, name))
            missing = [name for name in files if not (FOLDER / name).exists()]
            if missing:
                raise exercises.NotYetRight(f"{missing[0]} is not there yet: lesson {LEFT_BY[missing[0]]} leaves it")
            return function(mine, *arguments, **settings)
        return run
    return step


@functools.cache
def data():
    """x_train, y_train, x_test, y_test: bytes (N, 16, 16, 3) and labels (N,)."""
    found = shapes.load(SIZES["train"], SIZES["test"])
    return (np.ascontiguousarray(found.x_train[:, ::2, ::2]), found.y_train, np.ascontiguousarray(found.x_test[:, ::2, ::2]),
            found.y_test)


def real(q):
    """Bytes -> x in -1..1."""
    return (q.astype(np.float64) - 128) / 128


def accuracy(logits, y):
    """% of the images whose largest logit is the right one."""
    return 100 * float(np.mean(np.asarray(logits).argmax(axis=1) == y))


def save(file, net):
    """Write a network: array i.name for each array of layer i."""
    np.savez(FOLDER / file, **{f"{i}.{name}": array for i, layer in enumerate(net) for name, array in layer.items()})


def load(file):
    """Read what save() wrote."""
    net = [{} for _ in LAYERS]
    with np.load(FOLDER / file) as arrays:
        for key in arrays.files:
            net[int(key[0])][key[2:]] = arrays[key]
    return net


# --- Lessons 1 to 3: forward, backward, training -----------------------------------------------------------------------------
def new_net(generator, *, norm):
    """Random kernels (He), biases 0; with `norm` gamma 1 and beta 0 behind all layers but the last."""
    net = []
    for i, (k, c, f, _) in enumerate(LAYERS):
        net.append({"kernel": generator.standard_normal((k, k, c, f)) * np.sqrt(2 / (k * k * c)), "bias": np.zeros(f)})
        if norm and i < len(LAYERS) - 1:
            net[-1] |= {"gamma": np.ones(f), "beta": np.zeros(f), "mean": np.zeros(f), "variance": np.ones(f)}
    return net


def forward(mine, net, x, *, training=False):
    """x (N, 16, 16, 3) -> logits (N, 10), and the tape for backward. A stride of 2 keeps every second output."""
    tape = []
    for i, (layer, (*_, s)) in enumerate(zip(net, LAYERS, strict=True)):
        a, root = mine.conv_forward(x, layer["kernel"], layer["bias"])[:, ::s, ::s], 1.0
        if "gamma" in layer:
            if training:
                for name, value in (("mean", a.mean(axis=(0, 1, 2))), ("variance", a.var(axis=(0, 1, 2)))):
                    layer[name] = 0.9 * layer[name] + 0.1 * value
                a = a - a.mean(axis=(0, 1, 2))
                root = np.sqrt(a.var(axis=(0, 1, 2)) + EPSILON)
            else:
                a, root = a - layer["mean"], np.sqrt(layer["variance"] + EPSILON)
            a = a / root
        y = layer["gamma"] * a + layer["beta"] if "gamma" in layer else a
        y = np.maximum(y, 0) if i < len(net) - 1 else y
        tape.append((x, a, root, y))
        x = y
    return x.reshape(len(x), -1), tape


def backward(mine, net, tape, dy):
    """Gradients of each layer's parameters, and dx, from dy (N, 10)."""
    gradients, dy = [], dy.reshape(len(dy), 1, 1, -1)
    for i in reversed(range(len(net))):
        layer, (x, normal, root, y), (k, _, f, s) = net[i], tape[i], LAYERS[i]
        found, dy = {}, dy * (y > 0) if i < len(net) - 1 else dy
        if "gamma" in layer:
            found = {"gamma": (dy * normal).sum(axis=(0, 1, 2)), "beta": dy.sum(axis=(0, 1, 2))}
            dy = layer["gamma"] / root * (dy - (found["beta"] + normal * found["gamma"]) / dy[..., 0].size)
        whole = np.zeros((len(x), x.shape[1] - k + 1, x.shape[2] - k + 1, f))
        whole[:, ::s, ::s] = dy
        dy, found["kernel"], found["bias"] = mine.conv_gradient(whole, x, layer["kernel"])
        gradients.insert(0, found)
    return gradients, dy


@needs("conv_forward", "conv_gradient", "cross_entropy_gradient", "momentum_step")
def train(mine, *, norm=False, rate=0.05, batch=50, file="plain.npz"):
    """Train on the training images with your gradients and your step; save and return the network."""
    x, y, x_test, y_test = data()
    generator, epochs = np.random.default_rng(0), SIZES["epochs"]
    net = new_net(generator, norm=norm)
    velocities = [{name: np.zeros_like(value) for name, value in layer.items()} for layer in net]
    step, steps = 0, epochs * (len(x) // batch)
    for epoch in range(epochs):
        for chosen in np.array_split(generator.permutation(len(x)), len(x) // batch):
            z, tape = forward(mine, net, real(x[chosen]), training=True)
            gradients, _ = backward(mine, net, tape, mine.cross_entropy_gradient(z, y[chosen]) / len(chosen))
            slower, step = rate * (1 - step / steps), step + 1
            for layer, velocity, gradient in zip(net, velocities, gradients, strict=True):
                for name, g in gradient.items():
                    layer[name], velocity[name] = mine.momentum_step(layer[name], g, velocity[name], slower, 0.9)
        right = accuracy(forward(mine, net, real(x_test))[0], y_test)
        print(f"epoch {epoch + 1}: {right:.1f} % of {len(y_test)} test images right")
    save(file, net)
    return net


# --- Lesson 4: batch-norm, folded --------------------------------------------------------------------------------------------
@needs("conv_forward", "gain_and_shift", "fold_before", files=["normed.npz"])
def fold(mine):
    """Fold the norms of normed.npz into their convolutions by your pieces; save net.npz, return the largest change of a logit."""
    net, folded = load("normed.npz"), []
    for layer in net:
        kernel, bias = layer["kernel"], layer["bias"]
        if "gamma" in layer:
            gain, shift = mine.gain_and_shift(layer["gamma"], layer["beta"], layer["mean"], layer["variance"], EPSILON)
            kernel, bias = mine.fold_before(kernel, bias, gain, shift)
        folded.append({"kernel": kernel, "bias": bias})
    save("net.npz", folded)
    x = real(data()[2][:50])
    return float(np.abs(forward(mine, net, x)[0] - forward(mine, folded, x)[0]).max())


# --- Lesson 5: PGD -----------------------------------------------------------------------------------------------------------
@needs("conv_forward", "conv_gradient", "cross_entropy_gradient", "pgd_step", files=["net.npz"])
def attack(mine, *, levels=8, step=2, steps=10):
    """Attack the first test images within `levels` grey levels; save attacked.npy (bytes); return % right before and after."""
    net, (_, _, q, y) = load("net.npz"), data()
    q, y = q[:SIZES["attacked"]], y[:SIZES["attacked"]]
    x = z = real(q)
    for _ in range(steps):
        logits, tape = forward(mine, net, z)
        _, gradient = backward(mine, net, tape, mine.cross_entropy_gradient(logits, y))
        z = mine.pgd_step(z, x, gradient, step / 128, levels / 128, -1.0, 127 / 128)
    attacked = np.rint(128 * z + 128).astype(np.uint8)
    np.save(FOLDER / "attacked.npy", attacked)
    return accuracy(forward(mine, net, x)[0], y), accuracy(forward(mine, net, real(attacked))[0], y)


# --- Lesson 6: eight bits ----------------------------------------------------------------------------------------------------
@needs("conv_forward", "quantise_weights", files=["net.npz"])
def quantise(mine):
    """Make the integer network and save it as integer.npz: result = smmulr(sum, multiplier), clipped to low..high."""
    net, integer, scale_in, zero = load("net.npz"), [], 1 / 128, 128
    _, tape = forward(mine, net, real(data()[0][:300]))
    for i, (layer, (*_, y)) in enumerate(zip(net, tape, strict=True)):
        low, high = (0, 255) if i < len(net) - 1 else (-32768, 32767)
        kernel, scale_w = mine.quantise_weights(layer["kernel"])
        scale = np.abs(y).max() / high
        multiplier = np.rint(scale_in * scale_w / scale * 2.0 ** 32)
        assert multiplier.max() < 2 ** 31
        bias = np.rint(layer["bias"] / (scale_in * scale_w)).astype(np.int32)
        integer.append({"kernel": kernel, "bias": bias, "multiplier": multiplier.astype(np.int32), "zero": np.array(zero),
                        "low": np.array(low), "high": np.array(high)})
        scale_in, zero = scale, 0
    save("integer.npz", integer)
    return integer


@needs("conv_forward", "smmulr")
def integers(mine, integer, q):
    """Logits (N, 10) int16 in integers alone, by your convolution (exact in float64: sums stay below 2^53) and your rounding."""
    x = q
    for layer, (*_, s) in zip(integer, LAYERS, strict=True):
        sums = mine.conv_forward(x.astype(np.float64) - layer["zero"], layer["kernel"].astype(np.float64), layer["bias"])
        sums = sums[:, ::s, ::s].astype(np.int32)
        y = mine.smmulr(sums, np.broadcast_to(layer["multiplier"], sums.shape))
        x = np.clip(y, layer["low"], layer["high"])
    return x.reshape(len(x), -1).astype(np.int16)


@needs("conv_forward", "smmulr", files=["integer.npz", "attacked.npy"])
def fooled(mine):
    """% of the attacked images that the integer network gets right."""
    attacked = np.load(FOLDER / "attacked.npy")
    return accuracy(integers(mine, load("integer.npz"), attacked), data()[3][:len(attacked)])


@needs("conv_forward", "smmulr", files=["integer.npz"])
def integer_answers(mine, q):
    """Logits (N, 10) int16 of the integer network as lesson 6 left it."""
    return integers(mine, load("integer.npz"), q)


# --- Lesson 7: C and the board -----------------------------------------------------------------------------------------------
LAYER = Template("""
static const int8_t kernel$i[] = { $kernel };
static const int32_t bias$i[] = { $bias }, multiplier$i[] = { $multiplier };
static $type map$i[$size];

static void layer$i(const uint8_t *x)
{
    static int32_t sums[$size];
    convolution(x, $h, $h, $c, $zero, kernel$i, bias$i, $k, $s, $f, sums);
    for (int n = 0; n < $size; n++) {
        int64_t y = ((int64_t)sums[n] * multiplier$i[n % $f] + (1LL << 31)) >> 32;
        map$i[n] = ($type)(y < $low ? $low : y > $high ? $high : y);
    }
}
""")


@needs("convolution_c", files=["integer.npz"])
def write_c(mine):
    """Write network.c: your convolution, the integer network's constants, void network(const uint8_t *image, int16_t *logits)."""
    parts, calls, h, x = [mine.convolution_c()], [], 16, "image"
    for i, (layer, (k, c, f, s)) in enumerate(zip(load("integer.npz"), LAYERS, strict=True)):
        out = (h - k) // s + 1
        numbers = {name: ", ".join(map(str, value.ravel())) for name, value in layer.items()}
        parts.append(LAYER.substitute(numbers, i=i, k=k, c=c, f=f, s=s, h=h, size=out * out * f,
                                      type="uint8_t" if layer["low"] == 0 else "int16_t"))
        calls.append(f"    layer{i}({x});\n")
        h, x = out, f"map{i}"
    calls.append(f"    for (int f = 0; f < 10; f++) logits[f] = {x}[f];\n")
    parts.append("\nvoid network(const uint8_t *image, int16_t *logits)\n{\n" + "".join(calls) + "}\n")
    (FOLDER / "network.c").write_text("".join(parts), encoding="utf-8")


@needs("convolution_c", files=["network.c"])
def run_c(mine, q):
    """Logits (N, 10) int16 of network.c, compiled here."""
    library = (FOLDER / "network.so").resolve()
    source = str(FOLDER / "network.c")
    subprocess.run([*find_compiler(), "-O2", "-std=c99", "-shared", "-fPIC", source, "-o", str(library)], check=True)
    network, answers = ctypes.CDLL(str(library)).network, np.zeros((len(q), 10), np.int16)
    for image, answer in zip(np.ascontiguousarray(q), answers, strict=True):
        network(image.ctypes.data_as(ctypes.c_void_p), answer.ctypes.data_as(ctypes.c_void_p))
    return answers


@needs("convolution_c", files=["network.c"])
def board_labels(mine, q):
    """The answers of the virtual board, whose firmware is network.c; it is built when network.c has changed (extra `board`)."""
    from tinyvgg.board import Board
    from tinyvgg.firmware.build import build
    elf, source = FOLDER / "student.elf", FOLDER / "network.c"
    if not elf.exists() or elf.stat().st_mtime < source.stat().st_mtime:
        build([source, HERE / "board_app.c"], FOLDER / "student")
    with Board(f"virtual:{elf}") as board:
        return board.labels(q)


# --- Lesson 8: bit flips -----------------------------------------------------------------------------------------------------
@needs("checksum", files=["integer.npz"])
def sums_of_weights(mine, integer=None):
    """Your checksum of each layer's kernel; without `integer` of the network that lesson 6 left."""
    return [int(mine.checksum(layer["kernel"].astype(np.int8).tobytes())) for layer in integer or load("integer.npz")]


@needs("flip_int8", files=["integer.npz"])
def flipped(mine, count, *, bit=7, layer=2):
    """The integer network with bit `bit` flipped in the `count` largest weights of one layer."""
    integer = load("integer.npz")
    kernel = integer[layer]["kernel"].ravel()
    for place in np.argsort(-np.abs(kernel.astype(int)), kind="stable")[:count]:
        kernel[place] = mine.flip_int8(int(kernel[place]), bit)
    integer[layer]["kernel"] = kernel.reshape(integer[layer]["kernel"].shape)
    return integer
