"""The same networks in PyTorch, built from ours layer by layer, with our weights: the peer of train_step.py."""
import torch
import torch.nn.functional as F
from torch import nn as tnn

from tinyvgg.nn import layers
from tinyvgg.nn.fused.lowering import links


class Peer(tnn.Module):
    """Runs the calls of one of our networks up to the logits, channels_last, eager."""

    def __init__(self, model):
        super().__init__()
        self.calls = links(model)
        self.parts = tnn.ModuleList([_module(call) for call in self.calls])
        self.to(memory_format=torch.channels_last)

    def forward(self, x):
        values = {-1: x}
        for i, (call, part) in enumerate(zip(self.calls, self.parts, strict=True)):
            values[i] = part(*[values[k] for k in call.inputs])
        return values[len(self.calls) - 1]


class Function(tnn.Module):
    """A function as a module."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *values):
        return self.function(*values)


def _module(call):
    """One layer of ours as a module, its activation behind it."""
    layer = call.layer
    part = _MODULES[type(layer)](layer, call.shapes[0])
    if layer.activation.name != "linear" and not isinstance(layer, layers.Activation):
        return tnn.Sequential(part, _ACTIVATIONS[layer.activation.name]())
    return part


def _relu(layer, shape):
    return tnn.ReLU() if layer.max_value is None else tnn.Hardtanh(0.0, layer.max_value)


def _conv(layer, shape):
    part = tnn.Conv2d(shape[2], layer.filters, layer.kernel_size, layer.strides, bias=layer.use_bias,
                      padding=tuple(k // 2 for k in layer.kernel_size) if layer.padding == "same" else 0)
    _copy(part, weight=layer.parameters["kernel"].transpose(3, 2, 0, 1), bias=layer.parameters.get("bias"))
    return part


def _depthwise(layer, shape):
    part = tnn.Conv2d(shape[2], shape[2], layer.kernel_size, layer.strides, bias=layer.use_bias, groups=shape[2],
                      padding=tuple(k // 2 for k in layer.kernel_size) if layer.padding == "same" else 0)
    _copy(part, weight=layer.parameters["depthwise_kernel"].transpose(2, 3, 0, 1), bias=layer.parameters.get("bias"))
    return part


def _dense(layer, shape):
    part = tnn.Linear(shape[0], layer.units)
    _copy(part, weight=layer.parameters["kernel"].T, bias=layer.parameters["bias"])
    return part


def _norm(layer, shape):
    kind = tnn.BatchNorm2d if len(shape) == 3 else tnn.BatchNorm1d
    part = kind(shape[-1], eps=layer.epsilon, momentum=1 - layer.momentum)
    _copy(part, weight=layer.parameters["gamma"], bias=layer.parameters["beta"],
          running_mean=layer.state["moving_mean"], running_var=layer.state["moving_variance"])
    return part


def _copy(part, **arrays):
    with torch.no_grad():
        for name, array in arrays.items():
            if array is not None:
                getattr(part, name).copy_(torch.from_numpy(array.copy()))


_ACTIVATIONS = {"relu": tnn.ReLU, "sigmoid": tnn.Sigmoid}
_MODULES = {
    layers.Conv2D: _conv, layers.DepthwiseConv2D: _depthwise, layers.Dense: _dense, layers.BatchNormalization: _norm,
    layers.Activation: lambda layer, shape: _ACTIVATIONS[layer.activation.name](), layers.ReLU: _relu,
    layers.LeakyReLU: lambda layer, shape: tnn.LeakyReLU(layer.negative_slope),
    layers.GlobalAveragePooling2D: lambda layer, shape: Function(lambda x: x.mean(dim=(2, 3))),
    layers.Dropout: lambda layer, shape: tnn.Dropout(layer.rate),
    layers.SpatialDropout2D: lambda layer, shape: tnn.Dropout2d(layer.rate),
    layers.MaxPooling2D: lambda layer, shape: tnn.MaxPool2d(layer.pool_size), layers.Add: lambda layer, shape: Function(torch.add),
    layers.AveragePooling2D: lambda layer, shape: tnn.AvgPool2d(layer.pool_size),
    layers.Flatten: lambda layer, shape: Function(lambda x: x.permute(0, 2, 3, 1).flatten(1)),
}


class Work:
    """A network of ours as PyTorch trains, attacks and runs it."""

    def __init__(self, model):
        self.net = Peer(model)
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=1e-3, eps=1e-7)

    def images(self, x):
        """Our images (N, H, W, C) as PyTorch takes them, without a copy."""
        return torch.from_numpy(x).permute(0, 3, 1, 2)

    def train(self, x, y):
        """One step of Adam."""
        self.net.train()
        self.optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(self.net(x), y).backward()
        self.optimizer.step()

    def gradient(self, x, y):
        """The gradient of the loss by the images."""
        self.net.eval().requires_grad_(False)
        x = x.detach().requires_grad_(True)
        gradient, = torch.autograd.grad(F.cross_entropy(self.net(x), y), x)
        self.net.requires_grad_(True)
        return gradient

    def infer(self, x):
        """Logits."""
        self.net.eval()
        with torch.inference_mode():
            return self.net(x)
