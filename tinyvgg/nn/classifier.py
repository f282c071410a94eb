"""What every network offers its users: predictions, gradients with respect to the input, weights, a summary, training, files."""
import copy
import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Self, Unpack

import numpy as np

from tinyvgg import kernels
from tinyvgg.classifier import as_classes, classes_of, directions, labels_of, of_outputs
from tinyvgg.errors import ShapeError
from tinyvgg.images import check_images, float_images, to_floats
from tinyvgg.nn.head import apply_head, head_backward
from tinyvgg.nn.keras_words import as_ours
from tinyvgg.nn.layers.base import PerThread
from tinyvgg.report.shown import preformatted
from tinyvgg.types import AnyArray, EvaluateOptions, Floats, Gradient, Images, Integers, KerasFitOptions, Labels, PathLike, Range


@functools.cache
def _plan_for():
    from tinyvgg.nn.plan import plan_for
    return plan_for


class Classifier(PerThread):
    """The methods that users call on a network. A subclass defines `layers`, `input_shape`, `head`, `_forward` and `_backward`
    (see Model)."""

    made_for = None         # tinyvgg.classifier.MadeFor: the data that the network was trained on, where that is known
    assumed_range = None        # the input_range, if nobody said it: cleared by giving the network another

    # --- answers ---

    def logits(self, x: Images, *, batch_size: int = 256) -> Floats:
        """Return logits (N, classes), before the head, of x (N, *input_shape), in inference mode (moving statistics, no
        dropout)."""
        return as_classes(self.outputs(x, batch_size=batch_size))

    def outputs(self, x: Images, *, batch_size: int = 256) -> Floats:
        """Return (N, *output_shape), before the head, of x (N, *input_shape): like logits, but one number an image for a network
        with one output."""
        plan = self._fast_plan()
        at = 0 if plan is None or self.input_range is self.assumed_range else plan.place_of(x, self.input_range)
        if not at:
            x = self.check_images(x)
        if plan is not None and len(x):
            return plan.infer(x, at)
        parts = [self._forward(x[i:i + batch_size], False) for i in range(0, len(x), batch_size)]
        self.saved = None
        return np.concatenate(parts) if parts else np.zeros((0, *self.output_shape), self.dtype)

    def predict(self, x: Images, *, batch_size: int = 256) -> Floats:
        """Return the network's outputs (N, *output_shape), after the head (softmax or sigmoid), of x (N, *input_shape)."""
        return apply_head(self.head, self.outputs(x, batch_size=batch_size))

    def labels(self, x: Images, *, batch_size: int = 256) -> Integers:
        """Return (N,) int64, the class of the largest logit (the first of equal ones), of x (N, H, W, C); DataError if a logit is
        NaN."""
        return labels_of(self.logits(x, batch_size=batch_size))

    def vjp(self, x: Images, g: Gradient, *, batch_size: int = 256) -> Floats:
        """Return d sum(g * logits(x)) / dx, shaped as x, in inference mode: one backward for any loss.

        g: an array (N, classes), or a function that takes the logits (N, classes) and returns g. With a function, all of x is one
        batch.
        """
        x = self.check_images(x)
        if callable(g):
            return self._vjp(x, g)
        g = directions(g, (len(x), *self.output_shape[:-1], self.n_classes), self.dtype)
        dx = np.empty_like(x)
        for i in range(0, len(x), batch_size):
            part = slice(i, i + batch_size)
            dx[part] = self._vjp(x[part], lambda logits, part=part: g[part])
        return dx

    def _vjp(self, x, g):
        logits = as_classes(self._forward_outputs(x, False, parameters=False))
        dx = self.backward_logits(np.asarray(g(logits), self.dtype), parameters=False)
        self.saved = None
        return dx

    @property
    def bounds(self) -> Range:
        """(low, high) of valid images."""
        return self.input_range

    @property
    def n_outputs(self) -> int:
        """Number of outputs for an image: one for each class, or a single one for two classes."""
        return self.output_shape[-1]

    @property
    def n_classes(self) -> int:
        return classes_of(self.output_shape)

    # --- one step of training ---

    def plan(self) -> Any:
        """Return the plan by which this network runs. `print(model.plan().describe())` says which kernel computes what, what is
        slow, and why."""
        from tinyvgg.nn.plan import LayerByLayer
        return self._fast_plan() or LayerByLayer(self)

    def _fast_plan(self):
        """Return the plan of fast kernels (see nn.plan), or None where the reference runs layer by layer."""
        if kernels.active() != "fast":
            return None
        return _plan_for()(self)

    def forward_logits(self, x: Images, *, training: bool = False) -> Floats:
        """Run all layers but the head and return logits (N, classes); keep what backward_logits needs."""
        return as_classes(self._forward_outputs(x, training))

    def _forward_outputs(self, x, training, parameters=True):
        plan = self._fast_plan()
        if plan is None or not len(x):
            return self._forward(x, training)
        self.saved = plan
        return plan.forward(x, training, parameters)

    def backward_logits(self, dlogits: AnyArray, *, parameters: bool = True, inputs: bool = True) -> Floats | None:
        """Pull dlogits (N, classes) back through the last forward_logits: fill each layer's `gradients`, return dx.

        parameters=False: no gradients of the weights. inputs=False: dx is not needed, and may be None.
        """
        return self._backward_outputs(of_outputs(dlogits, self.output_shape), parameters, inputs)

    def _backward_outputs(self, dy, parameters=True, inputs=True):
        if hasattr(self.saved, "backward"):
            return self.saved.backward(dy, parameters, inputs)
        return self._backward(dy, parameters)

    def forward(self, x: Images, *, training: bool = False) -> Floats:
        """Run all layers on x, which is neither checked nor converted."""
        outputs = self._forward_outputs(x, training)
        self._last_outputs = outputs if self.head else None
        return apply_head(self.head, outputs)

    def backward(self, dy: AnyArray, *, parameters: bool = True) -> Floats | None:
        """Pull dy, the gradient with respect to forward's result, back to the images: return dx."""
        return self._backward_outputs(head_backward(self.head, dy, self._last_outputs), parameters)

    # --- weights ---

    @property
    def dtype(self) -> np.dtype[np.float32 | np.float64]:
        """dtype of the weights, float32 unless changed by astype."""
        for layer in self.layers:
            for held in (layer.parameters, layer.state):
                for array in held.values():
                    return array.dtype
        return np.dtype(np.float32)

    @property
    def weights(self) -> list[tuple[str, Floats]]:
        """(layer/weight, array) in Keras' order: layer by layer, trained ones first."""
        return [(f"{layer.name}/{name}", array) for layer in self.layers for name, array in layer.weights]

    def get_weights(self) -> list[Floats]:
        """Return copies of all arrays, in the order of `weights`."""
        return [array.copy() for _, array in self.weights]

    def set_weights(self, arrays: Sequence[AnyArray]) -> None:
        """Replace all arrays, given in the order of `weights`."""
        places = [(layer, name) for layer in self.layers for name, _ in layer.weights]
        if len(arrays) != len(places):
            raise ShapeError(f"{len(arrays)} arrays were given for a network of {len(places)}")
        for (layer, name), array in zip(places, arrays, strict=True):
            layer.set_weight(name, array)

    def count_params(self) -> int:
        """Return the number of values in all arrays, as Keras counts parameters."""
        return sum(array.size for _, array in self.weights)

    def astype(self, dtype: Any) -> Self:
        """Return a copy with weights, and therefore results, in float32 or float64."""
        twin = copy.deepcopy(self)
        for layer in twin.layers:
            for holder in (layer.parameters, layer.state):
                for name in holder:
                    holder[name] = holder[name].astype(dtype)
            layer.gradients.clear()
        return twin

    # --- training, files: the only imports to the right, inside the functions ---

    def fit(self, x: Images, y: Labels, **settings: Unpack[KerasFitOptions]) -> list[dict[str, Any]]:
        """Train on x (N, H, W, C) and y, labels (N,) or one-hot (N, classes): see tinyvgg.train.fit.

        Keras' `verbose`, `validation_split` and `validation_data` are understood too.
        """
        from tinyvgg.train import fit
        return fit(self, x, y, **as_ours(settings))

    def evaluate(self, x: Images, y: Labels, **settings: Unpack[EvaluateOptions]) -> dict[str, Any]:
        """Return {"n", "accuracy", "loss", ...} on x and y: see tinyvgg.train.evaluate."""
        from tinyvgg.train import evaluate
        return evaluate(self, x, y, **settings)

    def save(self, path: PathLike, **settings: Any) -> None:
        """Write the model to `path`; its ending gives the format: see tinyvgg.io.save_model."""
        from tinyvgg.io import save_model
        return save_model(self, path, **settings)

    def load_weights(self, path: PathLike, **settings: Any) -> Self:
        """Load the weights from a file of the same architecture: see tinyvgg.io.load_weights."""
        from tinyvgg.io import load_weights
        return load_weights(self, path, **settings)

    def summary(self, print_fn: Callable[[str], Any] = print) -> None:
        """Print a table of layers, output shapes, parameters and MACC, as Keras does; nn.summary_text(model) returns it.

        print_fn: called once with the whole text, for instance `logging.info`.
        """
        from tinyvgg.nn.summary import summary_text
        print_fn(summary_text(self))

    def _repr_html_(self) -> str:
        from tinyvgg.nn.summary import summary_text
        return preformatted(summary_text(self))

    # --- checks ---

    def check_images(self, x: Images) -> Floats:
        """Return x, uint8 or floats in `bounds`, as this network's dtype, or raise ShapeError or DataError: see tinyvgg.images.

        If the range is only assumed (`assumed_range`: the file does not state it), floats of any size are accepted, and bytes with a
        warning of what they are taken for.
        """
        if self.input_range is self.assumed_range:
            if getattr(x, "dtype", None) == np.uint8:
                warnings.warn(f"the file of {self.name!r} does not say what range its images have: bytes 0..255 are taken as "
                              f"{self.bounds[0]:g}..{self.bounds[1]:g}; --input-range 0,255 (input_range=(0, 255)), if it takes them as they "
                              "are", stacklevel=3)
            return to_floats(check_images(x, self.input_shape), self.bounds, self.dtype)
        return float_images(x, self.bounds, shape=self.input_shape, dtype=self.dtype)
