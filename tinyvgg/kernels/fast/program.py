"""Steps: each kernel call is one record of numbers, so a whole network is one array that compiled code runs."""
from operator import is_

import numpy as np
from numba import carray

from tinyvgg.changes import Arrays, mark
from tinyvgg.kernels.fast.arena import address
from tinyvgg.kernels.fast.atomics import barrier
from tinyvgg.kernels.fast.simd import as_pointer, call_kernel, compiled

# Images in memory: pixel (n, i, j) starts at at + n*image + i*row + j*channels, in float32 elements. There is a border of zeros
# around the pixels if a convolution reads beyond them.
TENSOR = np.dtype([(name, np.int64) for name in ("at", "row", "image", "height", "width", "channels")])

STEP = np.dtype([
    ("function", np.int64), ("images", np.int64),                # the kernel's address
    ("wait", np.int64),                                     # whether the next step needs the results of all threads
    ("x", TENSOR), ("y", TENSOR), ("g", TENSOR), ("dx", TENSOR),   # input, output, gradients of the output and of the input
    ("own", TENSOR),                                        # an image of each thread's own
    ("kernel", np.int64), ("packed", np.int64), ("stamp", np.int64),
    # ... weights as layers hold them, as products read them, and their hash
    ("bias", np.int64), ("mask", np.int64), ("mask_image", np.int64),
    ("affine", np.int64),                                   # scale[channels] then offset[channels]
    ("slope", np.int64),                                    # the two terms that batch normalisation adds to a gradient
    ("sums", np.int64), ("sums_size", np.int64),            # per thread, float64 after float32: two per channel
    ("scratch", np.int64), ("scratch_size", np.int64), ("block", np.int64),
    ("gradient", np.int64), ("partial", np.int64), ("partial_size", np.int64), ("bias_gradient", np.int64),
    ("gamma", np.int64), ("beta", np.int64), ("gamma_gradient", np.int64), ("beta_gradient", np.int64),
    ("moments", np.int64), ("moving_mean", np.int64), ("moving_variance", np.int64),
    ("unbiased", np.int64), ("frozen", np.int64), ("fresh", np.int64),
    ("tail", np.int64), ("gate", np.int64), ("pool", np.int64), ("want_gradient", np.int64), ("want_input", np.int64),
    ("kernel_height", np.int64), ("kernel_width", np.int64), ("stride_height", np.int64), ("stride_width", np.int64),
    ("top", np.int64), ("left", np.int64),                  # of a window's first pixel, from the image's
    ("dilation_height", np.int64), ("dilation_width", np.int64),
    ("depth", np.int64), ("padded_depth", np.int64), ("filters", np.int64),   # shape of a kernel seen as a matrix
    # ... and as layers hold it, (taps, channels / groups, filters), beside the sizes that are stored
    ("taps", np.int64), ("real_channels", np.int64), ("padded_channels", np.int64), ("padded_filters", np.int64),
    ("groups", np.int64),
    ("zeros", np.int64),                                    # as many zeros as any layer has channels
    ("epsilon", np.float64), ("momentum", np.float64),
    ("activation", np.int64), ("leak", np.float64), ("threshold", np.float64), ("ceiling", np.float64),  # see activations.py
    # of optimizers: weights are `kernel`, their gradient `gradient`
    ("slot_1", np.int64), ("slot_2", np.int64), ("size", np.int64),
    ("rate", np.float64), ("factor_1", np.float64), ("factor_2", np.float64),
])
STEP_SIZE = STEP.itemsize // 4          # from one step to the next, as addresses count


class Weight:
    """A reference to an array: a dict of a layer, and a name in it, because layers may replace their arrays."""

    def __init__(self, holder, name):
        self.holder, self.name = holder, name


class Setting:
    """A layer's option that may change between runs."""

    def __init__(self, layer, name):
        self.layer, self.name = layer, name


# When a step may run: steps that need only weights come first, then steps that need their results; inside a group no step waits.
FROM_WEIGHTS, FROM_EXPANDED, FROM_PACKED, IN_ORDER = range(4)
_OF_ITSELF = {"function", "images", "wait"}


class Program:
    """Steps and the order in which they run. A field is a number, a Tensor, a Weight or a Setting; Weights and Settings are
    looked up at each run. Python functions may be called between the steps in order.
    """

    def __init__(self):
        self._rows, self._weights, self._settings = [], [], []
        self._bound = self._images = None
        self._groups, self._calls, self.names = [], [], []

    def add(self, function, name="", /, *, when=IN_ORDER, **fields):
        """Add a step, for layer `name`, after the steps of its group. Raises TypeError if the kernel reads a field that is not
        given, because the field would be 0, an invalid address.
        """
        missing = (function.fields & set(STEP.names)) - fields.keys() - _OF_ITSELF
        if missing:
            raise TypeError(f"{function.function.__module__}.{function.function.__name__} reads {', '.join(sorted(missing))} of "
                            f"its step, which the step of {name!r} does not give")
        index = len(self._rows)
        row = {"function": function}
        for field, value in fields.items():
            if isinstance(value, Weight):
                self._weights.append((index, field, value))
            elif isinstance(value, Setting):
                self._settings.append((index, field, value))
            else:
                row[field] = value.as_record() if hasattr(value, "as_record") else value
        self._rows.append(row)
        self._groups.append(when)
        self.names.append((name, function))

    def call(self, function):
        """Call function(images) once the steps in order that were added so far have run."""
        self._calls.append((self._groups.count(IN_ORDER), function))

    def run(self, pool, images, source=None):
        """Run all steps on `images` images, the first step on those at the address `source`."""
        if self._bound is None:
            self._finish()
        self._look_up()
        if images != self._images:
            self._images = None
            self._count(images)
            self._images = images
        if source is not None:
            self._begin_at(source)
        self._go(pool, images)

    def _look_up(self):
        """Put the addresses of weights and the values of settings into the steps, if they have changed since the last run."""
        now = mark()
        if now is self._seen:
            return
        arrays = [holder[name] for holder, name in self._sources]
        if not all(map(is_, arrays, self._bound)):          # an interrupt may come between any two lines here, so that
            self._bound = [None] * len(arrays)              # incomplete changes must not count as written
            self._images = None
            for (index, field, _), array in zip(self._weights, arrays, strict=True):
                self._steps[field][index] = address(array)
            self._bound = arrays
        values = [getattr(layer, name) for layer, name in self._options]
        if values != self._set:
            self._set = self._images = None
            for (index, field, _), value in zip(self._settings, values, strict=True):
                self._steps[field][index] = value
            self._set = values
        self._seen = now if self._marked else None

    def _count(self, images):
        """Put the number of images into the steps."""
        self._steps["images"] = images

    def _begin_at(self, source):
        """Put the images' address into the first step."""
        self._source[0] = source

    def _go(self, pool, images):
        for first, length, function in self._parts:
            if length:
                pool.run_at(self._job + first * STEP_SIZE, length)
            if function is not None:
                function(images)

    def _finish(self):
        """Lay the steps out in memory, group by group, and look weights and settings up by their new places."""
        order = sorted(range(len(self._rows)), key=lambda index: self._groups[index])
        place = {index: i for i, index in enumerate(order)}
        names = [self.names[index] for index in order]
        weights = [(place[index], field, weight) for index, field, weight in self._weights]
        settings = [(place[index], field, setting) for index, field, setting in self._settings]
        groups = [self._groups[index] for index in order]
        steps = np.zeros(len(self._rows), STEP)
        for index, row in enumerate(self._rows):
            for field, value in row.items():
                steps[field][place[index]] = value.address if field == "function" else value
        steps["wait"] = [group == IN_ORDER or group != following
                         for group, following in zip(groups, [*groups, IN_ORDER][1:], strict=True)]
        parts, done, ahead = [], 0, len(groups) - groups.count(IN_ORDER)
        for position, function in [*self._calls, (groups.count(IN_ORDER), None)]:
            parts.append((done, ahead + position - done, function))
            done = ahead + position
        source, job, bound = steps["x"]["at"], address(steps), [None] * len(weights)
        sources = [(weight.holder, weight.name) for _, _, weight in weights]
        options = [(setting.layer, setting.name) for _, _, setting in settings]
        marked = all(isinstance(holder, Arrays) for holder, _ in sources)
        # an interrupt between these lines would lay the steps out twice; they call nothing, so none comes
        self.names, self._weights, self._settings, self._steps, self._parts = names, weights, settings, steps, parts
        self._sources, self._options, self._marked, self._seen, self._set = sources, options, marked, None, None
        self._source, self._job, self._bound = source, job, bound


@compiled
def step_at(address):
    """Return the step at an address, as a record."""
    return carray(as_pointer(address), (1,), STEP)[0]


@compiled
def execute(program, length, worker, workers, threads, state):
    """Run `length` steps as `worker` of `workers`, which share the work of `threads` threads. There is a barrier after each step
    whose complete result the next one needs. Return the waiting time in ticks.
    """
    waited = 0
    for i in range(length):
        step = program + i * STEP_SIZE
        for thread in range(worker, threads, workers):
            call_kernel(step_at(step).function, step, thread, threads)
        if i + 1 < length and step_at(step).wait:
            waited += barrier(state, workers)
    return waited
