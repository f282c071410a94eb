"""The layers' mathematics in NumPy: the definition that every other kernel is tested against.

Letters used throughout: N images, H W rows and columns, C channels in, F filters, KH KW kernel size, M depth multiplier,
OH OW output size, sh sw strides, dh dw dilation. Arrays are channels last (NHWC), kernels are (KH, KW, C, F), dtype float32
or float64 as given. `padding` is ((top, bottom), (left, right)) in pixels; OH = (H + top + bottom - dh*(KH-1) - 1) // sh + 1.
A function's `_backward` takes dy, the gradient of a scalar with respect to the function's result, and returns the gradients with
respect to its arguments.
"""
import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

NO_PADDING = ((0, 0), (0, 0))
_ERFC = np.vectorize(math.erfc, otypes=[np.float64])


def pad(x, padding, value=0.0):
    """Surround images x (N, H, W, C) with rows and columns of `value`."""
    return x if padding == NO_PADDING else np.pad(x, ((0, 0), *padding, (0, 0)), constant_values=value)


def crop(x, padding):
    """Undo pad: cut the border off x."""
    (top, bottom), (left, right) = padding
    return x[:, top:x.shape[1] - bottom, left:x.shape[2] - right]


def _windows(x, size, strides, dilation=(1, 1)):
    """View x (N, H, W, C) as (N, OH, OW, C, KH, KW) without copying."""
    extent = [d * (k - 1) + 1 for k, d in zip(size, dilation, strict=True)]
    return sliding_window_view(x, extent, axis=(1, 2))[:, ::strides[0], ::strides[1], :, ::dilation[0], ::dilation[1]]


def _tap(p, q, out_size, strides, dilation=(1, 1)):
    """Return the index of the pixels that tap (p, q) of a kernel reads, one for each output pixel: x[_tap(...)] is (N, OH, OW,
    C)."""
    (oh, ow), (sh, sw), (dh, dw) = out_size, strides, dilation
    return np.s_[:, p * dh:p * dh + sh * (oh - 1) + 1:sh, q * dw:q * dw + sw * (ow - 1) + 1:sw]


# --- convolution ------------------------------------------------------------------------------------------------------

def conv2d(x, kernel, bias=None, *, strides=(1, 1), padding=NO_PADDING, dilation=(1, 1), groups=1):
    """Correlate images with a bank of filters.

        y[n,i,j,f] = b[f] + sum_{p,q,c} x[n, i*sh + p*dh, j*sw + q*dw, c] * k[p,q,c,f]

    x (N, H, W, C), kernel (KH, KW, C/groups, F), bias (F,) or None -> (N, OH, OW, F). With groups, the filters of the g-th group
    only read the channels of the g-th group.
    """
    x = pad(x, padding)
    parts = zip(np.split(x, groups, axis=-1), np.split(kernel, groups, axis=-1), strict=True)
    y = np.concatenate([_correlate(xg, kg, strides, dilation) for xg, kg in parts], axis=-1)
    return y if bias is None else y + bias


def _correlate(x, kernel, strides, dilation):
    windows = _windows(x, kernel.shape[:2], strides, dilation)                     # (N, OH, OW, C, KH, KW)
    return np.einsum("nijcpq,pqcf->nijf", windows, kernel, optimize=True)


def conv2d_backward(dy, x, kernel, *, strides=(1, 1), padding=NO_PADDING, dilation=(1, 1), groups=1, parameters=True):
    """Pull dy (N, OH, OW, F) back through conv2d: return dx, dkernel, dbias (the last two None without `parameters`).

        dk[p,q,c,f] = sum_{n,i,j} x[n, i*sh + p*dh, j*sw + q*dw, c] * dy[n,i,j,f]
        dx[n, i*sh + p*dh, j*sw + q*dw, c] += sum_f k[p,q,c,f] * dy[n,i,j,f]
        db[f] = sum_{n,i,j} dy[n,i,j,f]
    """
    padded = pad(x, padding)
    parts = zip(*(np.split(a, groups, axis=-1) for a in (dy, padded, kernel)), strict=True)
    dxs, dkernels = zip(*(_correlate_backward(*part, strides, dilation, parameters) for part in parts), strict=True)
    dx = crop(np.concatenate(dxs, axis=-1), padding)
    return (dx, np.concatenate(dkernels, axis=-1), dy.sum(axis=(0, 1, 2))) if parameters else (dx, None, None)


def _correlate_backward(dy, x, kernel, strides, dilation, parameters):
    dx = np.zeros_like(x)
    for p, q in np.ndindex(kernel.shape[:2]):
        dx[_tap(p, q, dy.shape[1:3], strides, dilation)] += dy @ kernel[p, q].T
    if not parameters:
        return dx, None
    windows = _windows(x, kernel.shape[:2], strides, dilation)
    return dx, np.einsum("nijcpq,nijf->pqcf", windows, dy, optimize=True)


def depthwise_conv2d(x, kernel, bias=None, *, strides=(1, 1), padding=NO_PADDING, dilation=(1, 1)):
    """Correlate each channel with M filters of its own.

        y[n,i,j,c*M+m] = b[c*M+m] + sum_{p,q} x[n, i*sh + p*dh, j*sw + q*dw, c] * k[p,q,c,m]

    x (N, H, W, C), kernel (KH, KW, C, M), bias (C*M,) or None -> (N, OH, OW, C*M).
    """
    windows = _windows(pad(x, padding), kernel.shape[:2], strides, dilation)
    y = np.einsum("nijcpq,pqcm->nijcm", windows, kernel)
    y = y.reshape(*y.shape[:3], -1)                                                 # (N, OH, OW, C*M)
    return y if bias is None else y + bias


def depthwise_conv2d_backward(dy, x, kernel, *, strides=(1, 1), padding=NO_PADDING, dilation=(1, 1), parameters=True):
    """Pull dy (N, OH, OW, C*M) back through depthwise_conv2d: return dx, dkernel, dbias.

        dk[p,q,c,m] = sum_{n,i,j} x[n, i*sh + p*dh, j*sw + q*dw, c] * dy[n,i,j,c*M+m]
        dx[n, i*sh + p*dh, j*sw + q*dw, c] += sum_m k[p,q,c,m] * dy[n,i,j,c*M+m]
    """
    x = pad(x, padding)
    by_channel = dy.reshape(*dy.shape[:3], *kernel.shape[2:])                       # (N, OH, OW, C, M)
    dx = np.zeros_like(x)
    for p, q in np.ndindex(kernel.shape[:2]):
        dx[_tap(p, q, dy.shape[1:3], strides, dilation)] += np.einsum("nijcm,cm->nijc", by_channel, kernel[p, q])
    dx = crop(dx, padding)
    if not parameters:
        return dx, None, None
    windows = _windows(x, kernel.shape[:2], strides, dilation)
    return dx, np.einsum("nijcpq,nijcm->pqcm", windows, by_channel, optimize=True), dy.sum(axis=(0, 1, 2))


def dense(x, kernel, bias=None):
    """y[..., o] = b[o] + sum_i x[..., i] k[i, o]: x (..., I), kernel (I, O), bias (O,) or None -> (..., O)."""
    y = x @ kernel
    return y if bias is None else y + bias


def dense_backward(dy, x, kernel, *, parameters=True):
    """Pull dy (..., O) back through dense: dx = dy k^T, dk = x^T dy, db = sum dy; return dx, dkernel, dbias."""
    dx = dy @ kernel.T
    if not parameters:
        return dx, None, None
    rows, drows = x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])
    return dx, rows.T @ drows, drows.sum(axis=0)


# --- batch normalisation (Ioffe & Szegedy 2015, algorithm 1) -----------------------------------------------------------

def batch_statistics(x):
    """Return mean (C,) and biased variance (C,) of x (..., C) over all axes but the last."""
    axes = tuple(range(x.ndim - 1))
    return x.mean(axis=axes), x.var(axis=axes)


def batch_norm(x, gamma, beta, mean, variance, *, epsilon=1e-3):
    """y = gamma (x - mean) / sqrt(variance + epsilon) + beta, channel by channel; gamma and beta (C,) or None for 1 and 0."""
    scale = 1 / np.sqrt(variance + epsilon) * (1 if gamma is None else gamma)
    shift = -mean * scale + (0 if beta is None else beta)
    return x * scale.astype(x.dtype, copy=False) + shift.astype(x.dtype, copy=False)


def batch_norm_backward(dy, x, gamma, mean, variance, *, epsilon=1e-3, training):
    """Pull dy (..., C) back through batch_norm: return dx, dgamma, dbeta.

    With x^ = (x - mean) / sqrt(variance + epsilon):
        dgamma = sum dy x^        dbeta = sum dy
        training, where mean and variance are x's own over m values:  dx = gamma / (m sqrt(...)) (m dy - dbeta - x^ dgamma)
        inference, where they are constants:                          dx = gamma / sqrt(...) dy
    """
    axes, m = tuple(range(x.ndim - 1)), x.size // x.shape[-1]
    inverse = (1 / np.sqrt(variance + epsilon)).astype(x.dtype, copy=False)
    normalised = (x - mean.astype(x.dtype, copy=False)) * inverse
    dgamma, dbeta = (dy * normalised).sum(axis=axes), dy.sum(axis=axes)
    scale = inverse if gamma is None else gamma * inverse
    dx = scale * (dy - dbeta / m - normalised * (dgamma / m)) if training else scale * dy
    return dx, dgamma, dbeta


# --- pooling -----------------------------------------------------------------------------------------------------------

def max_pool2d(x, *, pool_size, strides, padding=NO_PADDING):
    """Return y (N, OH, OW, C), the largest value of each window, and argmax, its tap p*KW + q (the first one if several are
    equal)."""
    windows = _windows(pad(x, padding, -np.inf), pool_size, strides)
    flat = windows.reshape(*windows.shape[:4], -1)                                  # (N, OH, OW, C, KH*KW)
    argmax = flat.argmax(axis=-1)
    return np.take_along_axis(flat, argmax[..., None], axis=-1)[..., 0], argmax


def max_pool2d_backward(dy, argmax, input_shape, *, pool_size, strides, padding=NO_PADDING):
    """Pass dy (N, OH, OW, C) to the pixel with the largest value of each window; `input_shape` is (N, H, W, C)."""
    dx = pad(np.zeros(input_shape, dy.dtype), padding)
    for tap, (p, q) in enumerate(np.ndindex(*pool_size)):
        dx[_tap(p, q, dy.shape[1:3], strides)] += dy * (argmax == tap)
    return crop(dx, padding)


def average_pool2d(x, *, pool_size, strides, padding=NO_PADDING):
    """Return the mean of each window (N, OH, OW, C); padded pixels are not counted, as in Keras."""
    total = _windows(pad(x, padding), pool_size, strides).sum(axis=(-2, -1))
    return total / _window_counts(x, pool_size, strides, padding)


def average_pool2d_backward(dy, input_shape, *, pool_size, strides, padding=NO_PADDING):
    """Spread dy (N, OH, OW, C) evenly over each window's pixels; `input_shape` is (N, H, W, C)."""
    dx = pad(np.zeros(input_shape, dy.dtype), padding)
    share = dy / _window_counts(np.empty(input_shape, dy.dtype), pool_size, strides, padding)
    for p, q in np.ndindex(*pool_size):
        dx[_tap(p, q, dy.shape[1:3], strides)] += share
    return crop(dx, padding)


def _window_counts(x, pool_size, strides, padding):
    """Return the number of real (not padded) pixels of each window: (1, OH, OW, 1)."""
    ones = pad(np.ones((1, *x.shape[1:3], 1), x.dtype), padding)
    return _windows(ones, pool_size, strides).sum(axis=(-2, -1))


# --- activations -------------------------------------------------------------------------------------------------------

def relu(x, *, negative_slope=0.0, max_value=None, threshold=0.0):
    """x where x >= threshold, negative_slope (x - threshold) below; at most max_value (Keras' ReLU; NaN stays NaN)."""
    y = np.maximum(x, 0) if threshold == 0 else np.where(x < threshold, x.dtype.type(0), x)
    if negative_slope:
        y = np.where(x < threshold, x.dtype.type(negative_slope) * (x - x.dtype.type(threshold)), y)
    return y if max_value is None else np.minimum(y, x.dtype.type(max_value))


def relu_backward(dy, x, *, negative_slope=0.0, max_value=None, threshold=0.0):
    """dy where x > threshold and below max_value, negative_slope dy under the threshold, else 0."""
    inside = x > threshold
    if max_value is not None:
        inside &= x < max_value
    dx = dy * inside
    if negative_slope:
        dx += dy * (x.dtype.type(negative_slope) * (x <= threshold))
    return dx


def prelu(x, alpha):
    """x where x > 0, alpha x elsewhere (He et al. 2015); alpha broadcasts against one image."""
    return np.where(x > 0, x, alpha * x)


def prelu_backward(dy, x, alpha):
    """Return dx and dalpha, the latter summed over the images and over each axis along which alpha is shared."""
    dx = np.where(x > 0, dy, alpha * dy)
    per_value = (dy * np.where(x > 0, x.dtype.type(0), x)).sum(axis=0)
    shared = tuple(i for i, size in enumerate(alpha.shape) if size == 1)
    return dx, per_value.sum(axis=shared, keepdims=True)


def elu(x, *, alpha=1.0):
    """x where x > 0, alpha (e^x - 1) elsewhere (Clevert et al. 2016)."""
    return np.where(x > 0, x, x.dtype.type(alpha) * np.expm1(np.minimum(x, 0)))


def elu_backward(dy, x, *, alpha=1.0):
    """dy where x > 0, dy alpha e^x elsewhere."""
    return np.where(x > 0, dy, dy * (x.dtype.type(alpha) * np.exp(np.minimum(x, 0))))


def sigmoid(x):
    """1 / (1 + e^-x), computed so that e^ never overflows."""
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e))


def sigmoid_backward(dy, x):
    """dy s (1 - s)."""
    s = sigmoid(x)
    return dy * s * (1 - s)


def silu(x):
    """x sigmoid(x), also called swish."""
    return x * sigmoid(x)


def silu_backward(dy, x):
    """dy (s + x s (1 - s))."""
    s = sigmoid(x)
    return dy * (s + x * s * (1 - s))


def tanh(x):
    """The hyperbolic tangent."""
    return np.tanh(x)


def tanh_backward(dy, x):
    """dy (1 - tanh^2 x)."""
    return dy * (1 - np.tanh(x) ** 2)


def hard_sigmoid(x, *, slope=1 / 6):
    """clip(slope x + 1/2, 0, 1): Keras 3's slope is 1/6, Keras 2's 1/5."""
    return np.clip(x * x.dtype.type(slope) + x.dtype.type(0.5), 0, 1)


def hard_sigmoid_backward(dy, x, *, slope=1 / 6):
    """slope dy strictly between the two ends."""
    z = x * x.dtype.type(slope) + x.dtype.type(0.5)
    return dy * (x.dtype.type(slope) * ((z > 0) & (z < 1)))


def hard_silu(x):
    """x hard_sigmoid(x), also called hard swish (Howard et al. 2019)."""
    return x * hard_sigmoid(x)


def hard_silu_backward(dy, x):
    """dy (h + x h')."""
    return dy * hard_sigmoid(x) + hard_sigmoid_backward(dy * x, x)


def linear(x):
    """x."""
    return x


def linear_backward(dy, x):
    """dy."""
    return dy


def softplus(x):
    """log(1 + e^x), computed so that e^ never overflows."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def softplus_backward(dy, x):
    """dy sigmoid(x)."""
    return dy * sigmoid(x)


def gelu(x):
    """x Phi(x), Phi the normal distribution's cumulative function (Hendrycks and Gimpel 2016), without approximation."""
    return x * _normal_cumulative(x)


def gelu_backward(dy, x):
    """dy (Phi(x) + x phi(x))."""
    density = np.exp(-x * x / 2) * x.dtype.type(1 / np.sqrt(2 * np.pi))
    return dy * (_normal_cumulative(x) + x * density)


def _normal_cumulative(x):
    """Phi(x) = erfc(-x / sqrt 2) / 2."""
    return (_ERFC(-x.astype(np.float64) / np.sqrt(2)) / 2).astype(x.dtype)


SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805


def selu(x):
    """scale x where x > 0, scale alpha (e^x - 1) elsewhere (Klambauer et al. 2017)."""
    return x.dtype.type(SELU_SCALE) * elu(x, alpha=SELU_ALPHA)


def selu_backward(dy, x):
    """dy scale where x > 0, dy scale alpha e^x elsewhere."""
    return x.dtype.type(SELU_SCALE) * elu_backward(dy, x, alpha=SELU_ALPHA)


def mish(x):
    """x tanh(softplus(x)) (Misra 2019)."""
    return x * np.tanh(softplus(x))


def mish_backward(dy, x):
    """dy (t + x (1 - t^2) sigmoid(x)), t = tanh(softplus(x))."""
    t = np.tanh(softplus(x))
    return dy * (t + x * (1 - t * t) * sigmoid(x))


def softsign(x):
    """x / (1 + |x|)."""
    return x / (1 + np.abs(x))


def softsign_backward(dy, x):
    """dy / (1 + |x|)^2."""
    return dy / (1 + np.abs(x)) ** 2


def exponential(x):
    """e^x."""
    return np.exp(x)


def exponential_backward(dy, x):
    """dy e^x."""
    return dy * np.exp(x)


def softmax(x, *, axis=-1):
    """e^x / sum e^x along `axis`, shifted by the maximum so that e^ never overflows."""
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def softmax_backward(dy, x, *, axis=-1):
    """s (dy - sum s dy)."""
    s = softmax(x, axis=axis)
    return s * (dy - (s * dy).sum(axis=axis, keepdims=True))


# --- steps of the optimizers, in place ---------------------------------------------------------------------------------
# w: weights, g: their gradient, a: learning rate, t: number of the step, from 1; m and v are kept from step to step.

def sgd_update(w, g, *, learning_rate):
    """w -= a g"""
    w -= learning_rate * g


def momentum_update(w, g, m, *, learning_rate, momentum, nesterov):
    """m = mu m - a g;  w += m, or with Nesterov's look ahead (Sutskever et al., 2013) w += mu m - a g"""
    m *= momentum
    m -= learning_rate * g
    w += momentum * m - learning_rate * g if nesterov else m


def adam_update(w, g, m, v, *, step_size, beta_1, beta_2, epsilon):
    """m += (1-b1) (g - m);  v += (1-b2) (g^2 - v);  w -= s m / (sqrt(v) + eps)     (Kingma and Ba, 2015, arXiv:1412.6980)

    step_size s = a sqrt(1 - b2^t) / (1 - b1^t): the bias correction of the paper's section 2, where eps is not corrected.
    """
    m += (1 - beta_1) * (g - m)
    v += (1 - beta_2) * (g * g - v)
    w -= step_size * m / (np.sqrt(v) + epsilon)


def rmsprop_update(w, g, v, m, *, learning_rate, rho, momentum, epsilon):
    """v = rho v + (1-rho) g^2;  d = a g / sqrt(v + eps);  w -= d, or with momentum m = mu m + d;  w -= m"""
    v *= rho
    v += (1 - rho) * g * g
    d = learning_rate * g / np.sqrt(v + epsilon)
    if m is not None:
        m *= momentum
        m += d
        d = m
    w -= d


def average_update(average, w, *, share):
    """average += share (w - average), the average in float64"""
    average += share * (w - average)
