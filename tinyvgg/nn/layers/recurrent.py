"""LSTM (Hochreiter and Schmidhuber 1997), GRU (Cho et al. 2014) and SimpleRNN (Elman 1990), as Keras computes them.

Letters: N series of L steps with C channels, U units, G gates. kernel (C, G*U), recurrent_kernel (U, G*U), bias; gates lie side by side.
All steps share the same weights; in the backward pass (Werbos 1990) their gradients are summed over the steps.
"""
from typing import Any, Unpack

import numpy as np

from tinyvgg.errors import OptionError
from tinyvgg.nn import activations, initializers
from tinyvgg.nn.layers.base import Layer, positive
from tinyvgg.nn.layers.one_row import series_shape
from tinyvgg.types import LayerOptions


class _Recurrent(Layer):
    """A state h (N, U) that each step moves: (N, L, C) -> the last (N, U), or with return_sequences all (N, L, U)."""

    gates = 0

    def __init__(self, units: int, activation: Any = "tanh", recurrent_activation: Any = "sigmoid", *, use_bias: bool = True,
                 kernel_initializer: Any = "glorot_uniform", recurrent_initializer: Any = "orthogonal", bias_initializer: Any = "zeros",
                 return_sequences: bool = False, go_backwards: bool = False, return_state: bool = False, stateful: bool = False,
                 **common: Unpack[LayerOptions]) -> None:
        super().__init__(**common)
        self.units, self.use_bias = positive(units, "units"), bool(use_bias)
        self.inner, self.recurrent_activation = activations.get(activation), activations.get(recurrent_activation)
        for name, value in (("activation", self.inner), ("recurrent_activation", self.recurrent_activation)):
            if value.kernel == "softmax":
                raise OptionError(f"{name} is softmax, which is not elementwise; expected an elementwise function")
        self.kernel_initializer = initializers.check(kernel_initializer)
        self.recurrent_initializer = initializers.check(recurrent_initializer)
        self.bias_initializer = initializers.check(bias_initializer)
        self.return_sequences, self.go_backwards = bool(return_sequences), bool(go_backwards)
        self.return_state, self.stateful = bool(return_state), bool(stateful)
        if self.return_state or self.stateful:
            raise OptionError(f"return_state is {return_state} and stateful {stateful}; expected neither: a series begins with a state of "
                              "0 here, and a layer has one result")

    def get_config(self):
        return {**super().get_config(), "activation": self.inner.name}

    def output_shape(self, input_shape):
        steps, _ = series_shape(self, input_shape)
        self.check_last_axis(input_shape)
        return (steps, self.units) if self.return_sequences else (self.units,)

    def build(self, input_shape, rng):
        columns = self.gates * self.units
        self.add_parameter("kernel", (input_shape[1], columns), self.kernel_initializer, rng)
        self.add_parameter("recurrent_kernel", (self.units, columns), self.recurrent_initializer, rng)
        if self.use_bias:
            self.add_parameter("bias", self.bias_shape(), self.bias_initializer, rng)

    def bias_shape(self):
        """Shape of the bias."""
        return (self.gates * self.units,)

    def step(self, x, state):
        """x (N, C), state (a tuple of (N, U), h first) -> the next state, and what `step_back` needs."""
        raise NotImplementedError

    def step_back(self, kept, dstate, sums):
        """Pull the gradients with respect to a step's state back: return dx (N, C) and the gradients with respect to the previous
        state; add those of the weights to `sums`."""
        raise NotImplementedError

    def forward(self, x, *, training=False):
        order = list(range(x.shape[1]))[::-1 if self.go_backwards else 1]
        state, kept, results = self.start(x), [], []
        for t in order:
            state, memory = self.step(x[:, t], state)
            kept.append(memory)
            results.append(state[0])
        self.saved = order, kept, x.shape
        return np.stack(results, axis=1) if self.return_sequences else results[-1]

    def start(self, x):
        """The state before the first step."""
        return tuple(np.zeros((len(x), self.units), x.dtype) for _ in range(self.states))

    def backward(self, dy, *, parameters=True):
        order, kept, shape = self.saved
        dx, sums = np.zeros(shape, dy.dtype), {name: np.zeros_like(array) for name, array in self.parameters.items()}
        dstate = tuple(np.zeros((shape[0], self.units), dy.dtype) for _ in range(self.states))
        for i in range(len(order))[::-1]:
            dh = dy[:, i] if self.return_sequences else dy if i == len(order) - 1 else 0
            dx[:, order[i]], dstate = self.step_back(kept[i], (dstate[0] + dh, *dstate[1:]), sums)
        if parameters:
            self.gradients.update(sums)
        return dx

    def macc(self, input_shape):
        return input_shape[0] * self.gates * self.units * (input_shape[1] + self.units)

    def split(self, values):
        """(N, G*U) -> G views (N, U)."""
        return [values[:, k * self.units:(k + 1) * self.units] for k in range(self.gates)]

    def pull(self, kept, dz, sums):
        """Pull dz (N, G*U), the gradient with respect to x W + h R + b, back: return dx, dh."""
        x, h = kept
        sums["kernel"] += x.T @ dz
        sums["recurrent_kernel"] += h.T @ dz
        if self.use_bias:
            sums["bias"] += dz.sum(axis=0)
        return dz @ self.parameters["kernel"].T, dz @ self.parameters["recurrent_kernel"].T


class SimpleRNN(_Recurrent):
    """h = a(x W + h R + b)."""

    options = ("units", "activation", "use_bias", "kernel_initializer", "recurrent_initializer", "bias_initializer", "return_sequences",
               "go_backwards", "return_state", "stateful")
    gates, states = 1, 1

    def __init__(self, units: int, activation: Any = "tanh", **common: Any) -> None:
        super().__init__(units, activation, **common)

    def step(self, x, state):
        z = x @ self.parameters["kernel"] + state[0] @ self.parameters["recurrent_kernel"]
        z = z + self.parameters["bias"] if self.use_bias else z
        return (self.inner.forward(z),), (x, state[0], z)

    def step_back(self, kept, dstate, sums):
        x, h, z = kept
        dx, dh = self.pull((x, h), self.inner.backward(dstate[0], z), sums)
        return dx, (dh,)


class LSTM(_Recurrent):
    """i, f, o = s(z_i), s(z_f), s(z_o);  c = f c + i a(z_c);  h = o a(c);  z = x W + h R + b, gates in the order i, f, c, o."""

    options = ("units", "activation", "recurrent_activation", "use_bias", "kernel_initializer", "recurrent_initializer",
               "bias_initializer", "unit_forget_bias", "return_sequences", "go_backwards", "return_state", "stateful")
    gates, states = 4, 2

    def __init__(self, units: int, activation: Any = "tanh", recurrent_activation: Any = "sigmoid", *, unit_forget_bias: bool = True,
                 **common: Any) -> None:
        super().__init__(units, activation, recurrent_activation, **common)
        self.unit_forget_bias = bool(unit_forget_bias)

    def build(self, input_shape, rng):
        super().build(input_shape, rng)
        if self.use_bias and self.unit_forget_bias and "bias" in self.parameters:
            self.parameters["bias"][self.units:2 * self.units] = 1

    def step(self, x, state):
        h, c = state
        z = x @ self.parameters["kernel"] + h @ self.parameters["recurrent_kernel"]
        z = z + self.parameters["bias"] if self.use_bias else z
        zi, zf, zc, zo = self.split(z)
        i, f, o = (self.recurrent_activation.forward(v) for v in (zi, zf, zo))
        g = self.inner.forward(zc)
        after = f * c + i * g
        return (o * self.inner.forward(after), after), (x, h, c, z, i, f, g, o, after)

    def step_back(self, kept, dstate, sums):
        x, h, c, z, i, f, g, o, after = kept
        (dh, dc), (zi, zf, zc, zo) = dstate, self.split(z)
        dc = dc + self.inner.backward(dh * o, after)
        gate = self.recurrent_activation.backward
        dz = np.concatenate([gate(dc * g, zi), gate(dc * c, zf), self.inner.backward(dc * i, zc),
                             gate(dh * self.inner.forward(after), zo)], axis=1)
        dx, dh = self.pull((x, h), dz, sums)
        return dx, (dh, dc * f)


class GRU(_Recurrent):
    """z, r = s(x_z + h_z), s(x_r + h_r);  h = z h + (1 - z) a(x_h + r h_h), x_. and h_. the parts of x W + b_0 and h R + b_1 in the
    order z, r, h, bias (2, 3U); without `reset_after` a(x_h + (r h) R_h), bias (3U,)."""

    options = ("units", "activation", "recurrent_activation", "use_bias", "kernel_initializer", "recurrent_initializer",
               "bias_initializer", "reset_after", "return_sequences", "go_backwards", "return_state", "stateful")
    gates, states = 3, 1

    def __init__(self, units: int, activation: Any = "tanh", recurrent_activation: Any = "sigmoid", *, reset_after: bool = True,
                 **common: Any) -> None:
        super().__init__(units, activation, recurrent_activation, **common)
        self.reset_after = bool(reset_after)

    def bias_shape(self):
        return (2, 3 * self.units) if self.reset_after else (3 * self.units,)

    def step(self, x, state):
        (h,), u, recurrent = state, self.units, self.parameters["recurrent_kernel"]
        ours = x @ self.parameters["kernel"]
        if self.use_bias:
            ours = ours + (self.parameters["bias"][0] if self.reset_after else self.parameters["bias"])
        if self.reset_after:
            theirs = h @ recurrent + (self.parameters["bias"][1] if self.use_bias else 0)
        else:
            theirs = h @ recurrent[:, :2 * u]
        az, ar = ours[:, :u] + theirs[:, :u], ours[:, u:2 * u] + theirs[:, u:2 * u]
        z, r = self.recurrent_activation.forward(az), self.recurrent_activation.forward(ar)
        part = theirs[:, 2 * u:] if self.reset_after else (r * h) @ recurrent[:, 2 * u:]
        ah = ours[:, 2 * u:] + (r * part if self.reset_after else part)
        new = self.inner.forward(ah)
        return (z * h + (1 - z) * new,), (x, h, az, ar, ah, z, r, part, new)

    def step_back(self, kept, dstate, sums):
        x, h, az, ar, ah, z, r, part, new = kept
        (dy,), u, recurrent = dstate, self.units, self.parameters["recurrent_kernel"]
        dah = self.inner.backward(dy * (1 - z), ah)
        daz = self.recurrent_activation.backward(dy * (h - new), az)
        dh = dy * z
        if self.reset_after:
            dar = self.recurrent_activation.backward(dah * part, ar)
            theirs = np.concatenate([daz, dar, dah * r], axis=1)
            sums["recurrent_kernel"] += h.T @ theirs
            dh = dh + theirs @ recurrent.T
        else:
            back = dah @ recurrent[:, 2 * u:].T
            dar = self.recurrent_activation.backward(back * h, ar)
            both = np.concatenate([daz, dar], axis=1)
            sums["recurrent_kernel"][:, :2 * u] += h.T @ both
            sums["recurrent_kernel"][:, 2 * u:] += (r * h).T @ dah
            dh = dh + back * r + both @ recurrent[:, :2 * u].T
        ours = np.concatenate([daz, dar, dah], axis=1)
        sums["kernel"] += x.T @ ours
        if self.use_bias:
            total = ours.sum(axis=0)
            sums["bias"] += np.stack([total, theirs.sum(axis=0)]) if self.reset_after else total
        return ours @ self.parameters["kernel"].T, (dh,)
