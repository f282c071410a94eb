"""The place of each tensor in the arena: liveness, results that overwrite unneeded inputs, a checked layout, a lower bound.

A tensor is alive from the op that writes it to the last op that reads it. Two tensors that are alive at the same time must not
overlap. A result may exactly overwrite an input that is not needed any more, if the op reads each value before it writes it (Add,
a 1x1 depthwise convolution). Optimal placement is NP-hard (the dynamic storage allocation problem). The layout here is the best
of a few greedy orders; the lower bound (the most bytes alive at one time) shows how far it can be from the optimum.
"""

from dataclasses import dataclass, replace
from math import prod

from tinyvgg.errors import CheckFailed
from tinyvgg.quant.schedule import input_shift, kept_rows
from tinyvgg.report.shown import briefly


@dataclass(frozen=True)
class Buffer:
    """Bytes of the arena that hold one tensor, or several that overwrite one another, from op number `first` to `last`. shift:
    offset of the first tensor in the buffer, in bytes; a stream's output begins at offset 0."""

    names: tuple[str, ...]
    size: int
    first: int
    last: int
    offset: int = 0
    shift: int = 0


@briefly
@dataclass(frozen=True)
class MemoryPlan:
    """offsets: {op: byte in the arena}, scratch buffers as "op/scratch"; size and lower_bound of the arena in bytes."""

    buffers: tuple[Buffer, ...]
    size: int
    lower_bound: int

    @property
    def offsets(self):
        """{tensor: offset}."""
        return {name: b.offset + b.shift * (i + 1 < len(b.names)) for b in self.buffers for i, name in enumerate(b.names)}


def plan_memory(graph, *, align=4, scratch=None, keep_image=False, streams=()):
    """Return the MemoryPlan of a Graph, integer or float.

    align: every buffer begins at a multiple of it. scratch: {op: bytes} that an op needs while it runs. keep_image: the image is
    not overwritten. streams: chains of ops that run row by row (schedule.py); their output may overwrite their input, a few rows
    behind.
    """
    buffers = _live(graph, scratch or {}, keep_image, streams)
    plans = [_best_layout(buffers, align)]
    if streams:
        plans.append(_best_layout(_chased(graph, buffers, streams, align), align))
    return min(plans, key=lambda plan: plan.size)


def alive(graph, streams=()):
    """Return {op: bytes of the tensors that are alive while it runs, including its result}; a stream's ops run together."""
    buffers = _live(graph, {}, False, streams)
    positions = _positions(graph, streams)
    return {name: sum(b.size for b in buffers if b.first <= t <= b.last) for name, t in positions.items()}


def _best_layout(buffers, align):
    """The smallest of a few greedy layouts, checked."""
    orders = (lambda b: (-b.size, b.first), lambda b: (b.first, -b.size), lambda b: (-(b.last - b.first), -b.size),
              lambda b: (-b.size * (b.last - b.first + 1), b.first))
    layouts = [_greedy(sorted(buffers, key=order), align) for order in orders]
    best, offsets = min(layouts, key=_extent)
    placed = [replace(b, offset=offset) for b, offset in zip(best, offsets, strict=True)]
    plan = MemoryPlan(tuple(sorted(placed, key=lambda b: b.first)), _extent((best, offsets)), _most_alive(buffers))
    check_plan(plan)
    return plan


def check_plan(plan):
    """Raise CheckFailed if two buffers that are alive at the same time overlap, or one is outside the arena."""
    for i, a in enumerate(plan.buffers):
        if a.offset < 0 or a.offset + a.size > plan.size:
            raise CheckFailed(f"{a.names[0]!r} is outside the arena")
        for b in plan.buffers[i + 1 :]:
            together = a.first <= b.last and b.first <= a.last
            if together and a.offset < b.offset + b.size and b.offset < a.offset + a.size:
                raise CheckFailed(f"{a.names[0]!r} and {b.names[0]!r} overlap while both are alive")


def _live(graph, scratch, keep_image, streams):
    """Return buffers with their lifetimes. A result shares the buffer of an input that it overwrites; all ops of a stream run at
    the time of its last op."""
    position = _positions(graph, streams)
    rows = {name: n for stream in streams for name, n in kept_rows(graph, stream).items()}
    last_read = dict(position)
    for op in graph.ops:
        for name in op.inputs:
            last_read[name] = max(last_read[name], position[op.name])
    last_read[graph.ops[-1].name] = last_read[graph.logits.name] = len(graph.ops)  # read by the caller
    if keep_image:
        last_read[graph.ops[0].name] = len(graph.ops)
    buffers, home = [], {}
    for op in graph.ops:
        i = position[op.name]
        over = next(
            (
                home[n]
                for n in op.inputs
                if op.writes_over_input
                and not any(op.name in stream for stream in streams)
                and last_read[n] == i
                and buffers[home[n]].last == i
                and buffers[home[n]].size == op.nbytes
            ),
            None,
        )
        if over is None:
            home[op.name] = len(buffers)
            size = rows[op.name] * prod(op.shape[1:]) if op.name in rows else op.nbytes
            buffers.append(Buffer((op.name,), size, i, last_read[op.name]))
        else:
            old = buffers[over]
            home[op.name] = over
            buffers[over] = Buffer((*old.names, op.name), old.size, old.first, last_read[op.name])
    buffers += [Buffer((f"{name}/scratch",), size, position[name], position[name]) for name, size in scratch.items() if size]
    return buffers


def _positions(graph, streams):
    """Return {op: when it runs}: its number; for an op of a stream, the number of the stream's last op."""
    position = {op.name: i for i, op in enumerate(graph.ops)}
    return position | {name: position[stream[-1]] for stream in streams for name in stream}


def _chased(graph, buffers, streams, align):
    """Return the buffers with each stream's output over its input, if the input is not needed later: rows are written behind
    those that are read."""
    for stream in streams:
        source = next(b for b in buffers if graph[stream[0]].inputs[0] in b.names)
        target = next(b for b in buffers if stream[-1] in b.names)
        if source.last != target.first or len(source.names) > 1 or len(target.names) > 1:
            continue
        shift = _up(input_shift(graph, stream), align)
        both = Buffer(source.names + target.names, max(target.size, shift + source.size), source.first, target.last, shift=shift)
        buffers = [both, *(b for b in buffers if b is not source and b is not target)]
    return buffers


def _greedy(buffers, align):
    """Return (the buffers, their offsets): each, in order, at the lowest offset where it overlaps no buffer that is alive at the same
    time."""
    placed = []                                                         # (offset, end, first, last)
    for b in buffers:
        offset = 0
        for start, end in sorted([p[:2] for p in placed if p[2] <= b.last and b.first <= p[3]]):
            if offset + b.size > start:
                offset = max(offset, _up(end, align))
        placed.append((offset, offset + b.size, b.first, b.last))
    return buffers, [p[0] for p in placed]


def _extent(layout):
    return max(offset + b.size for b, offset in zip(*layout, strict=True))


def _most_alive(buffers):
    """Return the most bytes alive at one op; no layout can be smaller."""
    return max(sum(b.size for b in buffers if b.first <= t <= b.last) for t in range(max(b.last for b in buffers) + 1))


def _up(n, align):
    return -(-n // align) * align
