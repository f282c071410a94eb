"""Runs inside an environment with Keras: writes random models, or predicts with files. Tasks as JSON from standard input."""
import json
import os
import sys

sys.path.pop(0)                     # this folder, whose keras.py is not Keras
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from keras import layers as L  # noqa: E402

VERSION = int(keras.__version__[0])
register = keras.saving.register_keras_serializable if VERSION == 3 else keras.utils.register_keras_serializable
NAMES = [n for n in dir(keras.activations) if not n.startswith("_") and n not in ("deserialize", "get", "serialize", "glu")]
TF = [tf.nn.relu, tf.nn.relu6, tf.nn.softmax, tf.nn.leaky_relu, tf.nn.silu, tf.nn.sigmoid, tf.nn.tanh, tf.nn.elu]


@register(package="theirs")
class Conv2D(L.Conv2D):
    """A class of a user's with the name of one of Keras'."""

    def call(self, x):
        return super().call(x) * 3.0


@register(package="theirs")
def theirs(x):
    return 2.0 * x


def swish(x):
    return x * 3.0


class Doubled(L.Layer):
    """A class that was never registered."""

    def call(self, x):
        return x * 2.0


class Random:
    """One random model. `seen`: what it has."""

    def __init__(self, seed):
        self.rng, self.seen = np.random.default_rng(seed), []
        self.odd = self.rng.random() < 0.25         # code of a user's in it

    def pick(self, *values):
        return values[self.rng.integers(len(values))]

    def chance(self, p):
        return self.rng.random() < p

    def activation(self):
        r = self.rng.random()
        if self.odd and r < 0.25:
            self.seen.append("custom activation")
            return self.pick(lambda x: x * x, theirs, swish)
        if r < 0.6:
            return self.pick("relu", "linear", None, "tanh", "sigmoid", "elu")
        if r < 0.8:
            return self.pick(*NAMES)
        if r < 0.9:
            return self.pick(*TF)
        slope = {2: "alpha", 3: "negative_slope"}[VERSION]
        self.seen.append("layer as activation")
        return self.pick(L.LeakyReLU(**{slope: 0.05}), L.ReLU(6.0), L.ELU(0.3), L.PReLU("random_normal"), L.Softmax(),
                         L.ReLU(None, 0.1, 0.2))

    def image_layer(self):
        """A layer from images to images, as (constructor, settings)."""
        both, act = self.pick("valid", "same"), self.activation
        choices = [
            lambda: L.Conv2D(self.pick(2, 4), self.pick(1, 2, 3, (3, 2)), self.pick(1, 1, 2), both, activation=act(),
                             use_bias=self.chance(0.7), kernel_regularizer=self.pick(None, "l2")),
            lambda: L.Conv2D(4, 2, 1, "same", dilation_rate=2, activation=act()),
            lambda: L.DepthwiseConv2D(self.pick(2, 3), self.pick(1, 2), both, depth_multiplier=self.pick(1, 2), activation=act()),
            lambda: L.SeparableConv2D(3, 2, 1, both, depth_multiplier=self.pick(1, 2), activation=act(), use_bias=self.chance(0.5)),
            lambda: L.Conv2DTranspose(3, self.pick(2, 3), self.pick(1, 2), both, activation=act()),
            lambda: L.BatchNormalization(epsilon=self.pick(1e-3, 1e-5), center=self.chance(0.7), scale=self.chance(0.7)),
            lambda: L.LayerNormalization(), lambda: L.GroupNormalization(1), lambda: L.UnitNormalization(),
            lambda: L.MaxPooling2D(2, self.pick(None, 1), both), lambda: L.AveragePooling2D(2, self.pick(None, 1), both),
            lambda: L.UpSampling2D(2, interpolation=self.pick("nearest", "bilinear")),
            lambda: L.ZeroPadding2D(self.pick(1, (1, 0), ((1, 0), (0, 2)))), lambda: L.Cropping2D(self.pick(1, ((0, 1), (1, 0)))),
            lambda: L.Dropout(0.3), lambda: L.SpatialDropout2D(0.3), lambda: L.GaussianNoise(0.1),
            lambda: L.GaussianDropout(0.1), lambda: L.AlphaDropout(0.1), lambda: L.ActivityRegularization(0.01),
            lambda: L.Activation(act()), lambda: L.ReLU(self.pick(None, 6.0), self.pick(0.0, 0.1), self.pick(0.0, 0.2)),
            lambda: L.LeakyReLU(), lambda: L.LeakyReLU(0.1), lambda: L.ELU(self.pick(1.0, 0.5)), lambda: L.Softmax(),
            lambda: L.PReLU("random_normal", shared_axes=self.pick(None, [1, 2])),
            lambda: L.Rescaling(self.pick(0.5, 1 / 127.5), self.pick(0.0, -1.0)),
            lambda: L.Normalization(mean=0.3, variance=2.0), lambda: self.adapted(),
            lambda: L.RandomFlip(self.pick("horizontal", "vertical")), lambda: L.RandomRotation(0.1), lambda: L.RandomZoom(0.1),
            lambda: L.RandomContrast(0.2), lambda: L.RandomTranslation(0.1, 0.2), lambda: L.RandomBrightness(0.1),
            lambda: L.Resizing(6, 6), lambda: L.CenterCrop(4, 4), lambda: L.Permute((2, 1, 3)),
            lambda: L.Dense(3, activation=act()),
        ]
        if VERSION == 2:
            choices += [lambda: L.ThresholdedReLU(0.1), lambda: L.RandomHeight(0.1), lambda: L.Conv2D(4, 1, groups=1)]
        if VERSION == 3:
            choices += [lambda: L.RandomShear(0.1), lambda: L.RandomGrayscale(), lambda: L.RMSNormalization()]
        if self.odd:
            choices += [lambda: Conv2D(2, 2), lambda: Doubled(), lambda: L.Lambda(lambda x: x * 2.0)] * 4
        layer = self.pick(*choices)()
        self.seen.append(type(layer).__module__.split(".")[0].replace("keras", "") + type(layer).__name__)
        return layer

    def adapted(self):
        layer = L.Normalization()
        layer.adapt(self.rng.normal(0.4, 0.3, (20, *self.shape)).astype("float32") if self.first else np.zeros((2, 1, 1, 1), "float32"))
        return layer

    def images(self):
        self.shape = (int(self.rng.integers(5, 11)), int(self.rng.integers(5, 11)), int(self.rng.integers(1, 5)))
        return self.shape

    def apply(self, x, count):
        """`count` layers on x, leaving out those that do not fit."""
        for _ in range(count):
            self.first = x.shape[1:] == self.shape
            kept = len(self.seen)
            try:
                layer = self.image_layer()
                if isinstance(layer, L.Normalization) and layer.input_mean is None and not self.first:
                    raise ValueError("adapted to other images")
                y = layer(x)
                if min(n or 0 for n in y.shape[1:]) < 1 or max(y.shape[1:3]) > 24:
                    raise ValueError("too small or too large")
                x = y
            except Exception:       # whatever Keras says of a size that does not fit
                del self.seen[kept:]
        return x

    def head(self, x):
        x = self.pick(L.Flatten, L.GlobalAveragePooling2D, L.GlobalMaxPooling2D)()(x)
        for _ in range(self.rng.integers(0, 2)):
            x = self.pick(lambda: L.Dense(5, activation=self.activation()), lambda: L.BatchNormalization(),
                          lambda: L.Dropout(0.2), lambda: L.Activation(self.activation()))()(x)
        return L.Dense(self.pick(1, 3, 4), activation=self.pick(None, "softmax", "sigmoid", L.Softmax()))(x)

    # --- kinds of models ---

    def chain(self):
        start = L.Input(self.images())
        model = keras.Model(start, self.head(self.apply(start, self.rng.integers(1, 7))))
        made = [layer for layer in model.layers if not isinstance(layer, L.InputLayer)]
        return keras.Sequential([L.InputLayer(self.shape), *made]) if self.chance(0.7) else model

    def graph(self):
        start = L.Input(self.images())
        x = self.apply(start, 2)
        for _ in range(self.rng.integers(1, 3)):
            left, right = self.apply(x, self.rng.integers(0, 3)), self.apply(x, self.rng.integers(0, 3))
            if tuple(left.shape[1:3]) != tuple(right.shape[1:3]):
                right = L.Conv2D(2, 1)(left)
            if left.shape[-1] != right.shape[-1]:
                x = L.Concatenate()([left, right])
            else:
                x = self.pick(L.Add, L.Concatenate, L.Multiply, L.Average, L.Maximum, L.Subtract)()([left, right])
        if self.chance(0.1):
            x = L.Concatenate()([x])
        return keras.Model(start, self.head(x))

    def nested(self):
        start, inner = L.Input(self.images()), L.Input(self.shape)
        body = keras.Model(inner, self.apply(inner, 3), name="body")
        x = body(start, **({"training": False} if self.chance(0.3) else {}))
        if self.chance(0.4) and body.output_shape == body.input_shape:
            x = body(x)
        end = L.Input(tuple(x.shape[1:]))
        x = keras.Sequential([keras.Model(end, self.apply(end, 2)), L.Flatten(), L.Dense(3)])(x) if self.chance(0.5) else self.head(x)
        return keras.Model(start, x)

    def shared(self):
        start = L.Input(self.images())
        conv, norm = L.Conv2D(self.shape[-1], 3, padding="same", activation=self.activation()), L.BatchNormalization()
        x = conv(norm(conv(start)))
        return keras.Model(start, self.head(norm(x)))

    def functions(self):
        """Arithmetic between layers."""
        start = L.Input(self.images())
        x = start
        for _ in range(self.rng.integers(1, 4)):
            x = self.pick(lambda x: x / 127.5, lambda x: x - 1.0, lambda x: 2.0 - x, lambda x: x * 0.5, lambda x: x + x,
                          lambda x: x + L.Conv2D(self.shape[-1], 1)(x), lambda x: x * x, lambda x: x ** 2, lambda x: tf.nn.relu(x)
                          if VERSION == 2 else keras.ops.relu(x), lambda x: x[:, 1:], lambda x: 1.0 / (x + 2.0))(x)
        self.seen.append("functions")
        return keras.Model(start, self.head(x))

    def called_in_training(self):
        start = L.Input(self.images())
        x = L.Conv2D(3, 2)(start)
        layer = self.pick(L.BatchNormalization(), L.Activation("relu"))
        self.seen.append(f"training=True on {type(layer).__name__}")
        return keras.Model(start, self.head(layer(x, training=True)))

    def two_inputs(self):
        a, b = L.Input(self.images()), L.Input(self.pick(self.shape, (3,)))
        x, y = self.apply(a, 2), b
        y = self.apply(y, 1) if len(y.shape) == 4 else L.Dense(2)(y)
        joined = L.Concatenate()([L.Flatten()(x), L.Flatten()(y)])
        end = [L.Dense(3, activation="softmax")(joined)] + ([L.Dense(2)(joined)] if self.chance(0.4) else [])
        self.seen.append(f"2 inputs, {len(end)} outputs")
        return keras.Model([a, b], end if len(end) > 1 else end[0])

    def series(self):
        """Layers on series, which the engine here may lack: what convert writes is to be whole."""
        start = L.Input((6, 3))
        x = start
        act = self.pick("tanh", "relu")
        for _ in range(self.rng.integers(1, 3)):
            layer = self.pick(
                lambda: L.LSTM(3, activation=act, return_sequences=True), lambda: L.GRU(3, return_sequences=True, reset_after=self.chance(0.6)),
                lambda: L.SimpleRNN(3, return_sequences=True), lambda: L.Bidirectional(L.LSTM(2, return_sequences=True)),
                lambda: L.Bidirectional(L.GRU(2, return_sequences=True), merge_mode="sum"),
                lambda: L.TimeDistributed(L.Dense(3, activation=self.activation())), lambda: L.TimeDistributed(L.BatchNormalization()),
                lambda: L.RNN(L.LSTMCell(3), return_sequences=True), lambda: L.RNN([L.LSTMCell(3), L.GRUCell(2)], return_sequences=True),
                lambda: L.LSTM(3, recurrent_activation="hard_sigmoid", return_sequences=True),
                lambda: L.Conv1D(3, 2, padding=self.pick("same", "causal", "valid"), activation=self.activation()),
                lambda: L.SeparableConv1D(3, 2), lambda: L.DepthwiseConv1D(2), lambda: L.Conv1DTranspose(2, 2),
                lambda: L.MaxPooling1D(2), lambda: L.AveragePooling1D(2), lambda: L.UpSampling1D(2), lambda: L.ZeroPadding1D(1),
                lambda: L.Cropping1D(1), lambda: L.LayerNormalization(), lambda: L.SpatialDropout1D(0.2), lambda: L.Permute((2, 1)),
                lambda: L.Masking(0.0))()
            if x.shape[1] is not None and x.shape[1] < 3:
                break
            self.seen.append(type(layer).__name__)
            x = layer(x)
        x = self.pick(lambda: L.Flatten(), lambda: L.GlobalAveragePooling1D(), lambda: L.GlobalMaxPooling1D(), lambda: L.LSTM(2))()(x)
        return keras.Model(start, L.Dense(2)(x))

    def words(self):
        start = L.Input((5,))
        self.seen.append("Embedding")
        return keras.Model(start, L.Dense(2)(L.Flatten()(L.Embedding(7, 3)(start))))

    def model(self):
        """Return a model with random weights."""
        kind = self.pick("chain", "chain", "chain", "graph", "graph", "nested", "nested", "shared", "functions", "called_in_training",
                         "two_inputs", "series", "series", "words")
        self.seen.append(kind)
        model = getattr(self, kind)()
        new = []
        for w in model.get_weights():
            values = self.rng.normal(0, 0.4, w.shape)
            new.append(np.abs(values) + 0.3 if w.ndim == 1 or w.ndim == 0 else values)
        kept = {id(v) for layer in model._flatten_layers() if isinstance(layer, L.Normalization) for v in layer.weights}
        variables = model.weights
        for variable, value in zip(variables, new):
            if id(variable) not in kept and "int" not in str(variable.dtype):
                variable.assign(value.astype("float32"))
        return model


def answers(model, x):
    """What predict answers, without the time to trace it."""
    found = model(x if len(x) > 1 else x[0], training=False)
    return [np.asarray(f) for f in (found if isinstance(found, (list, tuple)) else [found])]


def write(task):
    """Write `count` models from `seed` to `folder`, each with its inputs and answers in an .npz."""
    rows, seed = [], task["seed"]
    while len(rows) < task["count"]:
        seed += 1
        keras.backend.clear_session()
        random, stem = Random(seed), f"{task['folder']}/k{VERSION}_{seed}"
        try:
            model = random.model()
            shapes = [tuple(i.shape[1:]) for i in model.inputs]
            x = [random.rng.integers(0, 7, (3, *s)).astype("float32") if "words" in random.seen
                 else random.rng.uniform(0, 1, (3, *s)).astype("float32") for s in shapes]
            y = answers(model, x)
            path = stem + random.pick(".h5", ".keras")
            if not all(np.isfinite(v).all() for v in y) or max(np.abs(v).max() for v in y) > 1e6:
                continue
            model.save(path)
        except Exception as error:          # Keras refuses the combination, or cannot save it
            print(f"{seed}: {type(error).__name__}: {str(error)[:200]}", file=sys.stderr)
            continue
        reopened = True
        try:
            again = answers(keras.models.load_model(path, compile=False), x)
            reopened = [float(np.abs(a - b).max()) for a, b in zip(again, y)]
            if random.odd and not forgets(path, random.seen) and max(reopened) > 1e-4 * max(np.abs(v).max() for v in y):
                y = again                       # Keras itself takes the owner's function for its own
        except Exception:                   # what Keras refuses is to be refused here, or right all the same
            reopened = False
        np.savez(stem + ".npz", **{f"x{i}": v for i, v in enumerate(x)}, **{f"y{i}": v for i, v in enumerate(y)})
        rows.append({"file": path, "vectors": stem + ".npz", "has": random.seen, "reopened": bool(reopened)})
    return rows


def forgets(path, seen):
    """Whether Keras 3 loses what it wrote: opening an .h5, it takes the statistics of a Normalization within a nested model for 0 and 1."""
    return VERSION == 3 and path.endswith(".h5") and "nested" in seen and "Normalization" in seen


def predict(task):
    """The largest difference of a file's answers to those recorded, of the largest answer."""
    with np.load(task["vectors"]) as v:
        x = [v[f"x{i}"] for i in range(sum(k[0] == "x" for k in v.files))]
        y = [v[f"y{i}"] for i in range(sum(k[0] == "y" for k in v.files))]
    keras.backend.clear_session()
    found = answers(keras.models.load_model(task["file"], compile=True), x)
    return max(float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-6)) for a, b in zip(found, y))


def main():
    answers = []
    for task in json.load(sys.stdin):
        if task["task"] == "write":
            answers.append(write(task))
            continue
        try:
            answers.append({"keras": keras.__version__, "difference": predict(task), "detail": ""})
        except Exception as error:          # whatever Keras raises is the answer
            answers.append({"keras": keras.__version__, "difference": None,
                            "detail": "%s: %s" % (type(error).__name__, " ".join(str(error).split())[:200])})
    print("\n" + json.dumps(answers))


if __name__ == "__main__":
    main()
