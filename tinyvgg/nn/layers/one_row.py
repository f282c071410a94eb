"""Layers along one axis: each is computed as its two-dimensional counterpart on an image of one row.

    Conv1D(8, 3) on (L, C)   is   Conv2D(8, (1, 3)) on (1, L, C)

`planar` is the two-dimensional layer, without arrays; `in_plane` returns it with this layer's arrays. So neither plans nor the
integer model nor the C needs rules for these layers.
"""
from tinyvgg.errors import OptionError, ShapeError
from tinyvgg.nn.layers.base import Layer, positive


class OneRow(Layer):
    """A layer of (N, L, C) that computes what its `planar` does on (N, 1, L, C)."""

    planar = None

    def output_shape(self, input_shape):
        steps, channels = series_shape(self, input_shape)
        if self.parameters:
            self.check_last_axis(input_shape)
        return without_row(self.planar.output_shape((1, steps, channels)))

    def build(self, input_shape, rng):
        for name, shape in self.planar.weight_shapes((1, *input_shape)).items():
            initializer = getattr(self, f"{name.removesuffix('_kernel')}_initializer")
            self.add_parameter(name, shape[1:] if len(shape) > 1 else shape, initializer, rng)

    def in_plane(self):
        """Return `planar` with this layer's arrays, each kernel with an axis of one row before its own."""
        self.planar.name = self.name
        self.planar.parameters = {name: _with_row(array) for name, array in self.parameters.items()}
        return self.planar

    def forward(self, x, *, training=False):
        planar = self.in_plane()
        y = planar.forward(x[:, None], training=training)
        self.saved, planar.saved = planar.saved, None
        return y[:, 0] if y.ndim == 4 else y

    def backward(self, dy, *, parameters=True):
        planar = self.in_plane()
        planar.saved = self.saved
        dx = planar.backward(dy[:, None] if dy.ndim == 3 else dy, parameters=parameters)
        planar.saved = None
        if parameters:
            self.gradients.update({name: g[0] if g.ndim > 1 else g for name, g in planar.gradients.items()})
        return dx[:, 0]

    def macc(self, input_shape):
        return self.planar.macc((1, *input_shape))


def series_shape(layer, shape):
    """Return (L, C) of an input shape, or raise ShapeError with the layer's name."""
    if isinstance(shape, list) or len(shape) != 2:
        raise ShapeError(f"{type(layer).__name__} {layer.name or ''} got inputs of shape {shape}; expected series (steps, channels)")
    return tuple(shape)


def without_row(shape):
    """(1, L, C) -> (L, C); a vector is returned unchanged."""
    return tuple(shape[1:]) if len(shape) == 3 else tuple(shape)


def one(value, option):
    """Return (n,) for 3, (3,) or [3]; raise OptionError for anything else."""
    single = value[0] if isinstance(value, list | tuple) and len(value) == 1 else value
    return (positive(single, option),)


def ends(value, option):
    """Return (before, after) for 1, (1, 2) or [1, 2], none below 0; raise OptionError for anything else."""
    both = (value, value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(both, list | tuple) or len(both) != 2 or any(type(n) is not int or n < 0 for n in both):
        raise OptionError(f"{option} is {value!r}; expected a whole number or a pair of them, none below 0")
    return tuple(both)


def _with_row(array):
    return array[None] if array.ndim > 1 else array
