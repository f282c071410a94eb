"""Run by tflite.py and quantize.py where TensorFlow is installed.

    python tflite_child.py make FOLDER N           N random networks: K.tflite, and K.npz with x, y of BUILTIN_REF
    python tflite_child.py run FOLDER FILE...      FILE.npz with y for the x that lie in FILE.x.npy
    python tflite_child.py convert FOLDER          model.h5, images.npz -> answers.npz: scores by int8, bytes of that file
"""
import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:] = [place for place in sys.path if Path(place).resolve() != HERE]      # keras.py and tflite.py here are no packages

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

L = tf.keras.layers
KINDS = ("float", "int8", "float", "int8", "int8 per tensor", "int8 of uint8", "int8 of floats", "float16", "int8", "int8")
IMAGES = 16


def answers(content, x, kernels="BUILTIN_REF"):
    """What TensorFlow Lite's kernels answer, without delegates, image by image; floats are quantised where a file takes integers."""
    kernels = getattr(tf.lite.experimental.OpResolverType, kernels)
    interpreter = tf.lite.Interpreter(model_content=content, experimental_op_resolver_type=kernels)
    interpreter.allocate_tensors()
    given, result = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    if x.dtype == np.float32 and given["dtype"] == np.int8:
        scale, zero = given["quantization"]
        x = np.clip(np.rint(x / scale + zero), -128, 127).astype(np.int8)
    out = []
    for image in x:
        interpreter.set_tensor(given["index"], image[None])
        interpreter.invoke()
        out.append(interpreter.get_tensor(result["index"])[0].copy())
    return np.array(out)


class Drawn:
    """A random network of what a plain CNN has."""

    def __init__(self, seed, kind):
        self.r = np.random.default_rng(seed)
        self.whole = kind.startswith("int8")
        tf.keras.utils.set_random_seed(seed)

    def pick(self, *choices):
        return choices[self.r.integers(len(choices))]

    def model(self):
        self.x = x = L.Input((int(self.r.integers(9, 17)), int(self.r.integers(9, 17)), self.pick(1, 2, 3, 3, 4)))
        for _ in range(int(self.r.integers(2, 6))):
            x = self.pick(self.convolution, self.convolution, self.depthwise, self.separable, self.normalised, self.pool, self.residual,
                          self.padded, self.joined, self.function, self.larger)(x)
        return tf.keras.Model(self.x, self.head(x))

    def activation(self):
        return self.pick("relu", "relu", "relu6", None, "tanh", "sigmoid", lambda t: tf.nn.leaky_relu(t, 0.1))

    def convolution(self, x):
        stride, dilation = self.pick((1, 1), (1, 1), (2, 1), (1, 2))
        return L.Conv2D(int(self.r.integers(2, 13)), (self.pick(1, 2, 3, 3, 5), self.pick(1, 3, 3)), strides=stride, padding="same",
                        dilation_rate=dilation, activation=self.activation(), use_bias=self.pick(True, True, False))(x)

    def depthwise(self, x):
        return L.DepthwiseConv2D(3, strides=self.pick(1, 1, 2), padding="same", depth_multiplier=self.pick(1, 1, 2),
                                 activation=self.pick("relu", "relu6", None))(x)

    def separable(self, x):
        return L.SeparableConv2D(int(self.r.integers(3, 9)), 3, padding="same", activation="relu")(x)

    def normalised(self, x):
        x = L.Conv2D(int(self.r.integers(3, 9)), 3, padding="same", activation=self.pick("relu", None))(x)
        return L.BatchNormalization()(x)

    def pool(self, x):
        kind = self.pick(L.MaxPooling2D, L.AveragePooling2D)
        return kind(self.pick(2, 3), strides=self.pick(1, 2), padding=self.pick("same", "valid" if min(x.shape[1:3]) > 3 else "same"))(x)

    def residual(self, x):
        y = L.Conv2D(x.shape[-1], 3, padding="same", activation=self.pick("relu", None))(x)
        y = L.Add()([x, y])
        return L.ReLU()(y) if self.pick(True, False) else y

    def padded(self, x):
        y = L.ZeroPadding2D(((1, 0), (0, 2)))(x)
        return L.Conv2D(int(self.r.integers(3, 9)), 3, strides=self.pick(1, 2), activation="relu")(y)

    def joined(self, x):
        return L.Concatenate()([L.Conv2D(3, 1, activation="relu")(x), L.Conv2D(4, 3, padding="same")(x)])

    def function(self, x):
        alpha = L.PReLU(shared_axes=[1, 2], alpha_initializer="uniform")
        chosen = self.pick(L.ReLU(), L.ReLU(6.0), L.LeakyReLU(0.2), alpha, L.Activation("tanh"), L.Activation("sigmoid"))
        return (L.LeakyReLU(0.3) if chosen is alpha and self.whole else chosen)(x)       # the converter leaves floats in a PReLU

    def larger(self, x):
        return L.UpSampling2D(2)(x) if x.shape[1] < 9 else x

    def head(self, x):
        if self.pick(True, False):
            x = L.GlobalAveragePooling2D(keepdims=self.pick(True, False))(x)
        x = L.Flatten()(x)
        if self.pick(True, False):
            x = L.Dense(int(self.r.integers(4, 20)), activation=self.pick("relu", "relu6"))(x)
        x = L.Dense(int(self.r.integers(2, 11)))(x)
        return L.Softmax()(x) if self.pick(True, True, False) else x

    def trained(self):
        """The network with weights that are not as they began: statistics of its own, gains of either sign."""
        model = self.model()
        for layer in model.layers:
            if isinstance(layer, L.BatchNormalization):
                n = layer.gamma.shape[0]
                layer.set_weights([self.r.normal(1, 0.6, n), self.r.normal(0, 0.3, n), self.r.normal(0, 0.2, n), self.r.uniform(0.3, 2, n)])
            elif getattr(layer, "bias", None) is not None:
                layer.bias.assign(self.r.normal(0, 0.1, layer.bias.shape))
        return model


def converted(model, kind, images):
    """The .tflite of a model, calibrated on images (N, H, W, C) where it has integers."""
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if kind == "float":
        return converter.convert()
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if kind == "float16":
        converter.target_spec.supported_types = [tf.float16]
        return converter.convert()
    converter.representative_dataset = lambda: ([image[None]] for image in images)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    if kind == "int8 per tensor":
        converter._experimental_disable_per_channel = True
    if kind != "int8 of floats":
        converter.inference_input_type = converter.inference_output_type = tf.uint8 if kind == "int8 of uint8" else tf.int8
    return converter.convert()


def images(r, shape, dtype):
    if dtype == np.float32:
        return r.random((IMAGES, *shape), np.float32)
    info = np.iinfo(dtype)
    return r.integers(info.min, info.max + 1, (IMAGES, *shape)).astype(dtype)


def make(folder, count):
    for seed in range(count):
        if (folder / f"{seed:03}.json").exists():           # a run before this one came so far
            continue
        kind = KINDS[seed % len(KINDS)]
        drawn = Drawn(1000 + seed, kind)
        model = drawn.trained()
        whole = kind.startswith("int8")
        content = converted(model, kind, drawn.r.random((40, *model.input_shape[1:]), np.float32) if whole else ())
        dtype = np.float32 if kind in ("float", "float16", "int8 of floats") else np.uint8 if kind == "int8 of uint8" else np.int8
        x = images(drawn.r, model.input_shape[1:], dtype)
        y = answers(content, x)
        (folder / f"{seed:03}.tflite").write_bytes(content)
        np.savez(folder / f"{seed:03}.npz", x=x, y=y)
        (folder / f"{seed:03}.json").write_text(json.dumps({"kind": kind, "layers": [type(v).__name__ for v in model.layers],
                                                            "tensorflow": tf.__version__}))


def run(folder, names):
    for name in names:
        y = answers((folder / name).read_bytes(), np.load(folder / f"{name}.x.npy"))
        np.savez(folder / f"{name}.npz", y=y)


def convert(folder):
    """Full-integer int8, inputs and outputs int8, calibrated on the same images as ours; the usual kernels."""
    x = {name: (x.astype(np.float32) / 255 if x.dtype == np.uint8 else x.astype(np.float32)) for name, x in np.load(folder / "images.npz").items()}
    content = converted(tf.keras.models.load_model(folder / "model.h5", compile=False), "int8", x["calibration"])
    scores = answers(content, x["test"], "BUILTIN_WITHOUT_DEFAULT_DELEGATES").astype(np.int32)
    np.savez(folder / "answers.npz", scores=scores, bytes=len(content))


if __name__ == "__main__":
    task, folder, *rest = sys.argv[1:]
    if task == "make":
        make(Path(folder), int(*rest))
    elif task == "run":
        run(Path(folder), rest)
    else:
        convert(Path(folder))
