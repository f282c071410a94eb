"""Which ops run row by row: plain data in a graph's facts. The graph's hash does not include it, because it does not change the
answers.

    graph = with_schedule(graph, Schedule(streams=(("conv2d", "conv2d_1"),)))
"""

from dataclasses import dataclass, replace
from math import prod

from tinyvgg.errors import FormatError

FACT = "schedule"
LONGEST = 32  # ops of a stream: TV_STAGES of codegen/kernels/tv_kernels.h


@dataclass(frozen=True)
class Schedule:
    """streams: chains of ops that run row by row; each op is the only reader of the one before it. For all but the last op of a
    chain, only a few rows are kept instead of the whole map."""

    streams: tuple[tuple[str, ...], ...] = ()

    def stream_of(self, name):
        """Return the stream that an op runs in, or None."""
        return next((s for s in self.streams if name in s), None)


def schedule_of(graph):
    """Return the Schedule of a Graph; FormatError if its facts contain something else, or a Schedule that does not fit the
    graph."""
    facts = graph.facts.get(FACT)
    if facts is None:
        return Schedule()
    try:
        schedule = Schedule(tuple(tuple(map(str, s)) for s in facts["streams"]))
    except (KeyError, TypeError) as error:
        raise FormatError(f"the schedule of {graph.name!r} is damaged: {str(facts)[:60]}", "tinyvgg firmware build") from error
    check_schedule(graph, schedule)
    return schedule


def with_schedule(graph, schedule):
    """Return the Graph with a Schedule, checked."""
    check_schedule(graph, schedule)
    return replace(graph, facts={**graph.facts, FACT: {"streams": [list(s) for s in schedule.streams]}})


def check_schedule(graph, schedule):
    """Raise FormatError unless every stream is a chain of ops that can run row by row."""
    ops, seen = {op.name: op for op in graph.ops}, set()
    for stream in schedule.streams:
        if not 2 <= len(stream) <= LONGEST or seen & set(stream) or len(set(stream)) < len(stream):
            raise FormatError(f"a stream of {', '.join(stream)[:60]!r} is scheduled; expected 2 to {LONGEST} ops, each once")
        seen |= set(stream)
        for before, name in zip((None, *stream), stream, strict=False):
            if name not in ops or not ops[name].by_rows or (before and not follows(graph, before, name)):
                raise FormatError(f"{name[:60]!r} is scheduled in a stream; expected a convolution or max-pool of the variant "
                                  "direct that alone reads the one before it")


def follows(graph, before, name):
    """Whether op `name` reads `before`, and nobody else does."""
    return graph[name].inputs == (before,) and sum(before in op.inputs for op in graph.ops) == 1


def chains(graph):
    """Return the longest streams that a graph allows, in order: every stream is a part of one of them."""
    found = []
    for op in graph.ops:
        if not op.by_rows:
            continue
        if found and len(found[-1]) < LONGEST and follows(graph, found[-1][-1], op.name):
            found[-1].append(op.name)
        else:
            found.append([op.name])
    return [tuple(names) for names in found if len(names) > 1]


def kept_rows(graph, stream):
    """Return {op: number of rows kept of its result} for all but the last op of a stream: as many as one row of the next op
    reads."""
    kept = {}
    for name, after in zip(stream, stream[1:], strict=False):
        height = graph[name].shape[0]
        kept[name] = max(1, *(_clip(end, height) - _clip(first, height) for first, end in _reads(graph[after])))
    return kept


def course(graph, stream):
    """Yield (number of the op in the stream, row of its result) in order of computation: each row as late as possible."""
    ops, heights = [graph[name] for name in stream], [graph[graph[stream[0]].inputs[0]].shape[0]]
    heights += [op.shape[0] for op in ops]
    done = [heights[0], *[0] * len(ops)]
    while done[-1] < heights[-1]:
        s = len(ops) - 1
        while done[s] < _clip(ops[s].rows_read(done[s + 1])[1], heights[s]):
            s -= 1
        yield s, done[s + 1]
        done[s + 1] += 1


def input_shift(graph, stream):
    """Return the smallest input offset, in bytes after the output, at which no unread row is overwritten."""
    first, last = graph[stream[0]], graph[stream[-1]]
    line_in, line_out = (prod(op.shape[1:]) for op in (graph[first.inputs[0]], last))
    needed, shift = [_clip(start, 2**16) for start, _ in _reads(first)], 0
    started = 0
    for s, row in course(graph, stream):
        started += s == 0
        if s == len(stream) - 1 and started < len(needed):
            shift = max(shift, (row + 1) * line_out - needed[started] * line_in)
    return shift


def _reads(op):
    return [op.rows_read(row) for row in range(op.shape[0])]


def _clip(row, height):
    return min(max(row, 0), height)
