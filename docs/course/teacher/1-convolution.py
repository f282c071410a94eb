import numpy as np


# %% conv_forward
def conv_forward(x, kernel, bias):
    kh, kw = kernel.shape[:2]
    oh, ow = x.shape[1] - kh + 1, x.shape[2] - kw + 1
    y = np.zeros((len(x), oh, ow, kernel.shape[3]))
    for p in range(kh):
        for q in range(kw):
            y += x[:, p:p + oh, q:q + ow] @ kernel[p, q]
    return y + bias


# %% conv_gradient
def conv_gradient(dy, x, kernel):
    oh, ow = dy.shape[1:3]
    dx, dkernel = np.zeros_like(x), np.zeros_like(kernel)
    for p in range(kernel.shape[0]):
        for q in range(kernel.shape[1]):
            dkernel[p, q] = np.einsum("nijc,nijf->cf", x[:, p:p + oh, q:q + ow], dy)
            dx[:, p:p + oh, q:q + ow] += dy @ kernel[p, q].T
    return dx, dkernel, dy.sum(axis=(0, 1, 2))


# %% same_padding
def same_padding(size, kernel, stride):
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


# %% winograd_1d
def winograd_1d(d, g):
    m1 = (d[0] - d[2]) * g[0]
    m2 = (d[1] + d[2]) * ((g[0] + g[1] + g[2]) / 2)
    m3 = (d[2] - d[1]) * ((g[0] - g[1] + g[2]) / 2)
    m4 = (d[1] - d[3]) * g[2]
    return m1 + m2 + m3, m2 - m3 - m4
