"""Stages without a convolution or dense layer: elementwise or channelwise operations, pools, copies, sums, concatenations."""
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tinyvgg.kernels.fast import activations, images, levels, normalize, pooling
from tinyvgg.kernels.fast.arena import Tensor
from tinyvgg.nn.fused.convolution import LINEAR
from tinyvgg.nn.fused.values import Normalizer, Value


@dataclass
class Stage:
    """A stage with one input and one output value; a subclass adds the steps."""
    source: Value
    target: Value
    layer: Any

    def sources(self):
        return [self.source]

    def allocate(self, memory):
        """Take no memory except the values."""

    def describe(self):
        return f"{self.layer.name}: {self.what}"

    what = ""


@dataclass
class Normalization(Stage):
    """BatchNormalization by itself, then an activation if one follows."""
    after: tuple[int, dict] = LINEAR

    def describe(self):
        return f"{self.layer.name}: batch-norm" + ("; fused: activation" if self.after != LINEAR else "")

    def allocate(self, memory):
        """Take the buffers that belong to this stage."""
        channels = self.target.channels
        self.normalizer, self.ones = Normalizer(self.layer, channels, memory), memory.identity(channels)

    def forward(self, program, mode):
        """Add the steps from source to target."""
        normalizer, x = self.normalizer, self.source.tensor
        if not normalizer.frozen(mode):
            program.add(normalize.sums, self.layer.name, y=x, **normalizer.sums)
        normalizer.prepare(program, x, mode)
        program.add(normalize.apply, self.layer.name, x=x, y=self.target.tensor, affine=normalizer.affine, gate=self.after[0],
                    pool=False, **self.after[1])

    def backward(self, program, mode, gradients, inputs):
        """Add the steps from the target's gradient to the source's and, with `gradients`, to those of gamma and beta."""
        normalizer = self.normalizer
        incoming = {"g": self.target.gradient, "gate": self.after[0], "pool": False, **self.after[1]}
        slope = normalizer.pull(program, self.source.tensor, incoming, mode, gradients)
        self.source.fresh()
        program.add(normalize.gradient, self.layer.name, y=self.source.tensor, affine=normalizer.affine, slope=slope,
                    mask=self.ones, mask_image=0, zeros=normalizer.flat, dx=self.source.gradient, **incoming, **normalizer.sums)


@dataclass
class Rescaled(Stage):
    """x * scale + offset, each a number or one for every channel."""
    what = "scale and offset"

    def allocate(self, memory):
        """Take scale and offset, and the other arrays of the batch-norm kernel, with values that have no effect."""
        channels, real = self.target.channels, self.target.grid[2]
        self.affine, self.flat = memory.arena.take(2 * channels), memory.arena.take(2 * channels)
        self.ones = memory.identity(channels)
        self.sums = memory.shared("sums", 6 * channels)
        for at, number in ((self.affine, self.layer.scale), (self.affine + channels, self.layer.offset)):
            memory.arena.put(at, np.broadcast_to(np.asarray(number, np.float32).reshape(-1), (real,)))

    def forward(self, program, mode):
        """Add the step from source to target."""
        program.add(normalize.apply, self.layer.name, x=self.source.tensor, y=self.target.tensor, affine=self.affine,
                    pool=False, gate=LINEAR[0], **LINEAR[1])

    def backward(self, program, mode, gradients, inputs):
        """Add the step of the backward pass."""
        self.source.fresh()
        program.add(normalize.gradient, self.layer.name, y=self.source.tensor, g=self.target.gradient, dx=self.source.gradient,
                    affine=self.affine, slope=self.flat, mask=self.ones, mask_image=0, zeros=self.flat, pool=False,
                    gate=LINEAR[0], **LINEAR[1], **self.sums)


@dataclass
class Activated(Stage):
    """An activation by itself."""
    function: Any = None

    def describe(self):
        return f"{self.layer.name}: {self.function.name}"

    def _fields(self):
        function = self.function
        return {"x": self.source.tensor, "y": self.target.tensor, "activation": function.code, "leak": function.leak,
                "threshold": function.threshold, "ceiling": function.ceiling}

    def forward(self, program, mode):
        """Add the step from source to target."""
        program.add(activations.forward, self.layer.name, **self._fields())

    def backward(self, program, mode, gradients, inputs):
        """Add the step of the backward pass."""
        self.source.fresh()
        program.add(activations.backward, self.layer.name, g=self.target.gradient, dx=self.source.gradient, **self._fields())


@dataclass
class Rounded(Stage):
    """Values rounded to integer levels: scale times the whole numbers from `first` to `last`.

    given: None, or a function of the number of images that returns the values (N, ...), if they are computed elsewhere and differ
    by more than rounding.
    """
    scale: float = 1.0
    first: int = 0
    last: int = 255
    given: Any = None

    @property
    def calls_python(self):
        """Whether this stage calls Python instead of adding a step."""
        return self.given is not None

    def describe(self):
        return f"{self.layer.name}: {'given' if self.given else 'rounded'} in steps of {self.scale:.3g}"

    def allocate(self, memory):
        """Take no memory except the values; given values are copied into the arena."""
        self.arena = memory.arena

    def _fields(self):
        return {"x": self.source.tensor, "leak": self.scale, "threshold": self.first, "ceiling": self.last}

    def forward(self, program, mode):
        """Add the step from source to target."""
        if self.given is None:
            program.add(levels.forward, self.layer.name, y=self.target.tensor, **self._fields())
            return

        def put(count):
            target = self.target.as_array(self.arena, count)
            target[:] = self.given(count).reshape(target.shape)
        program.call(put)

    def backward(self, program, mode, gradients, inputs):
        """Add the step of the backward pass: rounding passes the gradient on, saturation passes none."""
        self.source.fresh()
        program.add(levels.backward, self.layer.name, g=self.target.gradient, dx=self.source.gradient, **self._fields())


@dataclass
class Pooling(Stage):
    """The largest value or the mean of each window."""
    geometry: dict = field(default_factory=dict)
    largest: bool = True

    def describe(self):
        return f"{self.layer.name}: {'max' if self.largest else 'average'}-pool"

    def _fields(self):
        (kh, kw), (sh, sw), (top, left) = (self.geometry["pool_size"], self.geometry["strides"],
                                           [p[0] for p in self.geometry["padding"]])
        return {"kernel_height": kh, "kernel_width": kw, "stride_height": sh, "stride_width": sw, "top": top, "left": left}

    def forward(self, program, mode):
        """Add the step from source to target."""
        program.add(pooling.largest if self.largest else pooling.mean, self.layer.name, x=self.source.tensor,
                    y=self.target.tensor, **self._fields())

    def backward(self, program, mode, gradients, inputs):
        """Add the step of the backward pass."""
        program.add(pooling.largest_gradient if self.largest else pooling.mean_gradient, self.layer.name, x=self.source.tensor,
                    y=self.target.tensor, g=self.target.gradient, dx=self.source.gradient, fresh=self.source.fresh(),
                    **self._fields())


@dataclass
class Largest(Stage):
    """The largest value of each whole image; if several pixels have it, they share the gradient equally."""
    what = "largest of the image"

    def forward(self, program, mode):
        """Add the step from source to target."""
        height, width, _ = self.source.grid
        program.add(pooling.largest, self.layer.name, x=self.source.tensor, y=self.target.tensor, kernel_height=height,
                    kernel_width=width, stride_height=1, stride_width=1, top=0, left=0)

    def backward(self, program, mode, gradients, inputs):
        """Add the step of the backward pass."""
        program.add(pooling.whole_largest_gradient, self.layer.name, x=self.source.tensor, y=self.target.tensor,
                    g=self.target.gradient, dx=self.source.gradient, fresh=self.source.fresh())


@dataclass
class Mean(Stage):
    """The mean over each whole image, channel by channel."""
    what = "mean of the image"

    def forward(self, program, mode):
        """Add the step from source to target."""
        program.add(images.mean_images, self.layer.name, x=self.source.tensor, y=self.target.tensor)

    def backward(self, program, mode, gradients, inputs):
        """Add the step that spreads the gradient over the image."""
        program.add(images.spread_gradient, self.layer.name, g=self.target.gradient, dx=self.source.gradient,
                    fresh=self.source.fresh())


@dataclass
class Repeated(Stage):
    """Every pixel several times."""
    what = "pixels repeated"

    def _fields(self):
        (height, width, _), (rows, columns, _) = self.source.grid, self.target.grid
        return {"stride_height": rows // height, "stride_width": columns // width}

    def forward(self, program, mode):
        """Add the step from source to target."""
        program.add(images.repeat, self.layer.name, x=self.source.tensor, y=self.target.tensor, **self._fields())

    def backward(self, program, mode, gradients, inputs):
        """Add the step of the backward pass."""
        self.source.fresh()
        program.add(images.repeat_gradient, self.layer.name, g=self.target.gradient, dx=self.source.gradient, **self._fields())


@dataclass
class _Moved(Stage):
    """A copy of the values; a subclass defines as which pixels source and target are read and written."""

    def _sides(self, source, target):
        return source, target

    def forward(self, program, mode):
        """Add the copy."""
        x, y = self._sides(self.source.tensor, self.target.tensor)
        program.add(images.place, self.layer.name, x=x, y=y, real_channels=min(x.channels, y.channels))

    def backward(self, program, mode, gradients, inputs):
        """Add the copy of the backward pass."""
        dx, g = self._sides(self.source.gradient, self.target.gradient)
        program.add(images.place_gradient, self.layer.name, g=g, dx=dx, real_channels=min(g.channels, dx.channels),
                    fresh=self.source.fresh())


@dataclass
class Padded(_Moved):
    """Zeros around an image."""
    what = "a copy inside zeros"

    def _sides(self, source, target):
        (top, _), (left, _) = self.layer.padding
        return source, replace(target, at=target.at + top * target.row + left * target.channels)


@dataclass
class Reshaped(_Moved):
    """Pixels as a flat list of numbers, or such a list as pixels: source or target has a single pixel."""
    what = "a copy in another shape"

    def _sides(self, source, target):
        if self.target.grid[:2] == (1, 1):
            return source, _as(target, self.source.grid)
        return _as(source, self.target.grid), target


def _as(tensor, grid):
    """Return a flat list of numbers as pixels without gaps."""
    height, width, channels = grid
    return Tensor(tensor.at, width * channels, tensor.image, height, width, channels)


@dataclass
class Branch(_Moved):
    """A value for one of several readers: the same memory, but its own gradient, which is added to the others."""
    what = "adds its part of a gradient"

    def forward(self, program, mode):
        """Add nothing, because the memory is the same."""


@dataclass
class Masking(Stage):
    """Dropout by itself, in place if its target is its source."""
    shape: tuple = ()

    def describe(self):
        return f"{self.layer.name}: dropout" + (", in place" if self.target is self.source else "")

    def sources(self):
        return [] if self.target is self.source else [self.source]

    def allocate(self, memory):
        """Take the mask."""
        height, width, _ = self.source.grid
        self.mask = memory.arena.images(memory.capacity, height, width, self.source.channels) if memory.keeps else None

    @property
    def dropout(self):
        return self.layer

    def draw_mask(self, arena, count):
        """Draw the mask of the next training step from the layer's generator."""
        target = arena.view(self.mask, count)[..., :self.source.grid[2]]
        mask = self.layer.mask((count, *self.shape), np.dtype(np.float32))
        target[:] = mask if mask.shape[1:3] == (1, 1) else mask.reshape(target.shape)

    def forward(self, program, mode):
        """Copy the value if the target has its own memory; multiply it by the mask in training."""
        x, y = self.source.tensor, self.target.tensor
        if x is not y:
            program.add(images.place, self.layer.name, x=x, y=y, real_channels=x.channels)
        if mode == "train" and self.layer.rate > 0:
            program.add(images.mask_images, self.layer.name, y=y, x=self.mask)

    def backward(self, program, mode, gradients, inputs):
        """Do the same with the gradient."""
        g, dx = self.target.gradient, self.source.gradient
        if g is not dx:
            program.add(images.place_gradient, self.layer.name, g=g, dx=dx, real_channels=g.channels, fresh=self.source.fresh())
        if mode == "train" and self.layer.rate > 0:
            program.add(images.mask_images, self.layer.name, y=dx, x=self.mask)


@dataclass
class Addition:
    """The sum of two or more values, then ReLU if it follows."""
    parts: list[Value]
    target: Value
    layer: Any
    relu: bool = False

    def describe(self):
        return f"{self.layer.name}: sum" + ("; fused: ReLU" if self.relu else "")

    def sources(self):
        return self.parts

    def allocate(self, memory):
        """Take no memory except the values."""

    def forward(self, program, mode):
        """Add the steps from the parts to the target."""
        total = self.parts[0].tensor
        for value in self.parts[1:]:
            program.add(images.sum_images, self.layer.name, x=total, g=value.tensor, y=self.target.tensor,
                        gate=self.relu and value is self.parts[-1])
            total = self.target.tensor

    def backward(self, program, mode, gradients, inputs):
        """Add the steps that pass the gradient on to all parts."""
        for value in self.parts:
            program.add(images.pass_gradient, self.layer.name, g=self.target.gradient, y=self.target.tensor, dx=value.gradient,
                        fresh=value.fresh(), gate=self.relu)


@dataclass
class Concatenation:
    """Concatenation along the channels."""
    parts: list[Value]
    target: Value
    layer: Any

    def describe(self):
        return f"{self.layer.name}: channels side by side"

    def sources(self):
        return self.parts

    def allocate(self, memory):
        """Take no memory except the values."""

    def _places(self, tensor):
        """Yield each part, and the Tensor of its channels in the target."""
        offset = 0
        for value in self.parts:
            yield value, replace(tensor, at=tensor.at + offset)
            offset += value.grid[2]

    def forward(self, program, mode):
        """Add a copy for each part."""
        for value, place in self._places(self.target.tensor):
            program.add(images.place, self.layer.name, x=value.tensor, y=place, real_channels=value.grid[2])

    def backward(self, program, mode, gradients, inputs):
        """Add a copy of the gradient for each part."""
        for value, place in self._places(self.target.gradient):
            program.add(images.place_gradient, self.layer.name, g=place, dx=value.gradient, real_channels=value.grid[2],
                        fresh=value.fresh())
