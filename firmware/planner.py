"""The kernel of each layer: finds the plans that are Pareto-optimal in time, flash and RAM.

Time is in cycles, including those that the flash adds (firmware/stalls.py). Time and flash add up over layers. So for a given
limit of the arena, the choice is a multiple-choice knapsack. It is solved layer by layer: every (flash, cycles) is kept that no
other beats in both (Kellerer, Pferschy, Pisinger, 2004, chapter 11). The arena does not add up. So the search is repeated for
several limits of it, and for several sets of layers that run row by row, which are found greedily. Finally, plans with weights
held in RAM are added, layer by layer; the layers that save most time for each byte come first.
"""
import bisect
import math
from dataclasses import dataclass, replace

from tinyvgg.codegen.variants import variants, with_variants
from tinyvgg.errors import OptionError
from tinyvgg.firmware.costs import LAYER_RAM, Table, layer_cost
from tinyvgg.quant.graph import Graph
from tinyvgg.quant.memory import alive, plan_memory
from tinyvgg.quant.schedule import chains
from tinyvgg.report.shown import briefly

GRAIN = 256                 # bytes of flash; of plans that differ by less, only the faster is kept
LEVELS = 10                 # limits of the arena that are tried
KEPT = 24                   # plans kept for each limit


@briefly
@dataclass(frozen=True)
class Plan:
    """{layer: variant}, the chains that run row by row, and the predicted cost.

    The cost: cycles at zero wait states; bytes of flash and RAM of the whole firmware, and of the arena. time: cycles including
    those that the flash adds (0: the same). code: where kernels compiled for one shape run.
    """
    variants: dict
    streams: tuple[tuple[str, ...], ...]
    cycles: int
    flash_bytes: int
    ram_bytes: int
    arena_bytes: int
    time: int = 0
    code: str = "flash"

    @property
    def true_cycles(self):
        """Cycles on silicon, including those that the flash adds."""
        return self.time or self.cycles


class Planner:
    """The search over one integer Graph. costs: {layer: {variant: Cost}} for every layer of the graph.

    stalls: the cycles that the flash adds (firmware.stalls.Stalls), or None: zero wait states, with all code in flash.
    """

    def __init__(self, graph: Graph, table: Table, stalls=None):
        if not graph.integer:
            raise OptionError(f"{graph.name!r} computes with floats; plans are for integer models",
                              "tinyvgg compress MODEL --scheme int8 --data DATA --out MODEL.tvq")
        self.graph, self.table, self.stalls = graph, table, stalls
        self.costs = {op.name: {v: layer_cost(graph, op.name, v, table, stalls) for v in variants(op, graph[op.inputs[0]].shape)}
                      for op in graph.ops[1:]}
        self._arenas, self._saved = {}, {}

    def front(self, *, flash=None, ram=None):
        """Return the Pareto-optimal Plans within the budgets (bytes, of the whole firmware), the fastest first."""
        found = []
        for streams in self.stream_sets():
            need = self.needs(streams)
            levels = sorted({size for row in need.values() for size in row.values()})
            least = max(min(row.values()) for row in need.values())
            for level in _spread([n for n in levels if n >= least], LEVELS):
                found += self.within(streams, level, need, flash)
        found = undominated(self.fitting(found, flash, ram))
        return undominated(found + self.fitting([held for plan in found for held in self.with_held(plan)], flash, ram))

    def fitting(self, plans, flash, ram):
        """Return the Plans that are within the budgets and whose code and weights fit their memories."""
        return [p for p in plans if (flash is None or p.flash_bytes <= flash) and (ram is None or p.ram_bytes <= ram) and self.placed(p)]

    def with_held(self, plan):
        """Return Plans that hold more and more weights in RAM, while there is room; the layers that gain most time a byte come
        first."""
        inside, gains = {name for stream in plan.streams for name in stream}, []
        for name, row in self.costs.items():
            held = {v: c for v, c in row.items() if c.held and name not in inside}
            best = min(held, key=lambda v: held[v].time, default=None)
            gain = row[plan.variants.get(name, "direct")].time - held[best].time if held else 0
            if gain > 0:
                gains.append((gain / held[best].held, name, best))
        chosen, used = {n: plan.variants.get(n, "direct") for n in self.costs}, 0
        for _, name, variant in sorted(gains, reverse=True):
            if self.stalls and used + self.costs[name][variant].held <= self.stalls.held_limit:
                chosen, used = {**chosen, name: variant}, used + self.costs[name][variant].held
                yield self.plan(chosen, plan.streams)

    def placed(self, plan):
        """Whether a plan's kernels fit the memory in which they run, next to its variables."""
        s, code, held = self.stalls, self.own_code(plan.variants), self.held(plan.variants)
        return not (s and s.code == "sram2" and code) or (code <= s.code_limit and plan.ram_bytes - code - held <= s.ram_limit)

    def held(self, variants):
        """Return the bytes of weights that are held in RAM."""
        return sum(self.costs[name][variant].held for name, variant in variants.items())

    def own_code(self, variants):
        """Return the bytes of the kernels that are compiled for one shape."""
        return sum(self.costs[name][variant].code for name, variant in variants.items())

    def choices(self, streams):
        """Return {layer: {variant: Cost}} without weights held in RAM; layers of a stream only have kernels that run row by
        row."""
        inside = {name for stream in streams for name in stream}
        return {name: {v: c for v, c in row.items() if v == "direct" or name not in inside and not c.held}
                for name, row in self.costs.items()}

    def needs(self, streams):
        """Return {layer: {variant: bytes of the arena}}: all tensors that are needed while the layer runs."""
        beside = alive(self.graph, streams)
        return {name: {v: beside[name] - self.written_over(name, v) + c.scratch for v, c in row.items()}
                for name, row in self.choices(streams).items()}

    def written_over(self, name, variant):
        """Return the bytes that a layer saves as `variant`, because its result overwrites an input that is no longer needed."""
        if (name, variant) not in self._saved:
            op = self.graph[name]
            as_it_is = not hasattr(op, "variant") or replace(op, variant=variant).writes_over_input == op.writes_over_input
            self._saved[name, variant] = 0 if as_it_is else (
                alive(self.graph)[name] - alive(with_variants(self.graph, {name: variant}))[name])
        return self._saved[name, variant]

    def within(self, streams, level, need, flash):
        """Return the Plans for one set of streams whose layers need at most `level` bytes of the arena."""
        rows = [(0, 0.0, ())]
        choices = self.choices(streams)
        for name, row in choices.items():
            fitting = [(v, c) for v, c in row.items() if need[name][v] <= level]
            rows = _fewer([(f + c.flash, n + c.time, (*chosen, v)) for f, n, chosen in rows for v, c in fitting])
        limit = math.inf if flash is None else flash - self.table.base_flash
        rows = [row for row in rows if row[0] <= limit]
        return [self.plan(dict(zip(choices, chosen, strict=True)), streams) for _, _, chosen in _spread(rows, KEPT)]

    def plan(self, chosen, streams):
        """Return the Plan for {layer: variant}."""
        costs = {name: self.costs[name][variant] for name, variant in chosen.items()}
        arena, ram = self.memory(chosen, streams)
        variants = {n: v for n, v in chosen.items() if hasattr(self.graph[n], "variant")}
        ram += self.held(variants) + self.table.base_ram + LAYER_RAM * (len(costs) - sum(len(s) - 1 for s in streams) + 1)
        code = "flash" if self.stalls is None else self.stalls.code
        return Plan(variants, streams, round(sum(c.cycles for c in costs.values())),
                    self.table.base_flash + sum(c.flash for c in costs.values()),
                    ram + (self.own_code(variants) if code == "sram2" else 0), arena, round(sum(c.time for c in costs.values())), code)

    def memory(self, chosen, streams):
        """Return (bytes of the arena, the same with room for a float image) for {layer: variant}, as code generation and firmware
        compute them."""
        inside, owned = {name: stream[-1] for stream in streams for name in stream}, {}
        for name, variant in chosen.items():
            owner = inside.get(name, name)
            owned[owner] = max(owned.get(owner, 0), self.costs[name][variant].scratch)
        over = tuple(name for name, variant in chosen.items() if self.written_over(name, variant))
        key = (streams, over, tuple(owned.items()))
        if key not in self._arenas:
            graph = with_variants(self.graph, {name: chosen[name] for name in over})
            plan = plan_memory(graph, align=8, scratch=owned, streams=streams)
            arena, image = -(-plan.size // 8) * 8, self.graph.ops[0]
            floats, offset = 4 * math.prod(image.shape), plan.offsets[image.name]
            place = 0 if offset >= floats else offset
            self._arenas[key] = arena, max(arena, -(-(place + floats) // 8) * 8)
        return self._arenas[key]

    def stream_sets(self):
        """Return sets of streams, each with a smaller arena than the one before. It starts with no stream and adds the best
        stream while one helps."""
        sets, smallest = [()], self._least_arena(())
        candidates = [chain[i:j] for chain in chains(self.graph) for i in range(len(chain)) for j in range(i + 2, len(chain) + 1)]
        candidates = [c for c in candidates if all("direct" in self.costs[name] for name in c)]
        while True:
            free = [c for c in candidates if not any(set(c) & set(s) for s in sets[-1])]
            sizes = {c: self._least_arena((*sets[-1], c)) for c in free}
            best = min(sizes, key=sizes.get, default=None)
            if best is None or sizes[best] >= smallest:
                return sets
            smallest = sizes[best]
            sets.append((*sets[-1], best))

    def smallest(self, streams):
        """Return the Plan in which every layer needs the least arena."""
        return self.plan({name: min(row, key=row.get) for name, row in self.needs(streams).items()}, streams)

    def _least_arena(self, streams):
        return self.memory({name: min(row, key=row.get) for name, row in self.needs(streams).items()}, streams)[0]


def undominated(plans):
    """Return the Pareto-optimal Plans, the fastest first."""
    kept, stairs = [], []                               # stairs: (flash, RAM) of those that need least, flash ascending, RAM descending
    for plan in sorted(plans, key=lambda p: (p.true_cycles, p.flash_bytes, p.ram_bytes)):
        at = bisect.bisect_right(stairs, (plan.flash_bytes, math.inf))
        if at == 0 or stairs[at - 1][1] > plan.ram_bytes:               # else one that is not slower needs no more of both
            kept.append(plan)
            end = next((i for i in range(at, len(stairs)) if stairs[i][1] < plan.ram_bytes), len(stairs))
            stairs[at:end] = [(plan.flash_bytes, plan.ram_bytes)]
    return kept


def _fewer(rows):
    """Return the Pareto-optimal (flash, cycles, chosen), flash ascending; of rows within GRAIN bytes, only the fastest."""
    kept = []
    for row in sorted(rows, key=lambda r: r[:2]):
        if kept and row[1] >= kept[-1][1]:
            continue
        if len(kept) > 1 and row[0] - kept[-2][0] < GRAIN:
            kept.pop()
        kept.append(row)
    return kept


def _spread(rows, count):
    """Return at most `count` of the rows, including the first and the last."""
    if len(rows) <= count:
        return rows
    return [rows[round(i * (len(rows) - 1) / (count - 1))] for i in range(count)]
