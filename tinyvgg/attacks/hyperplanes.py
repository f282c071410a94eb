"""The nearest point to x that lies in a box and on a hyperplane, exactly, in three norms: the step of FAB.

Letters: t points (N, D) in the box low..high, plane {z: <w, z> = b}, d the change of t. If the box does not reach the plane, d
leads to the corner nearest to the plane.
"""
import numpy as np


def project(t, w, b, norm, low, high):
    """Return d (N, D): the shortest with <w, t + d> = b and low <= t + d <= high. w (N, D), b (N,); norm linf, l2 or l1."""
    distance = (w * t).sum(axis=1) - b
    sign = np.where(distance >= 0, 1.0, -1.0)[:, None]
    down = -np.sign(w) * sign                                   # each value's way to the plane
    size = np.abs(w)
    room = np.where(down > 0, high - t, t - low)                # how far it may go
    room = np.where(size > 0, np.maximum(room, 0), 0)
    need = np.abs(distance)
    if norm == "l1":
        return down * _greedy(size, room, need)
    if norm == "linf":
        return down * np.minimum(_level(size, room, need)[:, None], room)
    limit = room / np.where(size > 0, size, 1)
    return down * np.minimum(_level(size ** 2, limit, need)[:, None] * size, room)


def _level(slope, limit, need):
    """Return the level v (N,) at which sum_i slope_i * min(v, limit_i) reaches `need`; the largest limit where it never does."""
    order = np.argsort(limit, axis=1)
    slope, limit = np.take_along_axis(slope, order, axis=1), np.take_along_axis(limit, order, axis=1)
    filled = np.cumsum(slope * limit, axis=1)
    open_slope = slope[:, ::-1].cumsum(axis=1)[:, ::-1]         # of those that are not full below this limit
    reached = filled + limit * (open_slope - slope)             # the sum when v is this limit
    j = np.minimum((reached < need[:, None]).sum(axis=1), slope.shape[1] - 1)
    rows = np.arange(len(slope))
    over = np.maximum(reached[rows, j] - need, 0)
    return np.maximum(limit[rows, j] - over / np.maximum(open_slope[rows, j], 1e-300), 0)


def _greedy(size, room, need):
    """l1: the values with the largest |w| go all their way first, the last one part of it."""
    order = np.argsort(-size, axis=1, kind="stable")
    size, room = np.take_along_axis(size, order, axis=1), np.take_along_axis(room, order, axis=1)
    before = np.cumsum(size * room, axis=1) - size * room
    part = np.clip((need[:, None] - before) / np.where(size > 0, size, 1), 0, room)
    back = np.empty_like(part)
    np.put_along_axis(back, order, part, axis=1)
    return back
