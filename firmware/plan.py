"""Plans of firmware: made for a board and budgets, applied to a model, saved in a file.

    made = make_plan(tinyvgg.load_model("light.tvq"), flash=640 * 1024)
    made.plan.cycles, made.plan.flash_bytes, made.front            # the chosen plan, and all Pareto-optimal plans
    build_network(apply_plan(model, made.plan), "build")
"""
import dataclasses
import math
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from tinyvgg.codegen.variants import plain_graph, plain_sha256, variants, with_variants
from tinyvgg.errors import BudgetError, BuildError, FormatError, OptionError
from tinyvgg.firmware.build import find_compiler
from tinyvgg.firmware.costs import load_table
from tinyvgg.firmware.image import board_facts
from tinyvgg.firmware.network import build_network, is_of_size
from tinyvgg.firmware.planner import Plan, Planner, undominated
from tinyvgg.firmware.stalls import load_stalls
from tinyvgg.quant.blob import constant_bytes
from tinyvgg.quant.model import QuantizedModel
from tinyvgg.quant.schedule import FACT, Schedule, with_schedule
from tinyvgg.report.record import write_json
from tinyvgg.report.untrusted import read_json

FORMAT = "tinyvgg.plan"
SPARE = 0.9                 # share of the board's memories that a plan may use if no budgets are given
BANKS = ("dual", "single")  # the flash's option byte: two banks of 64 bits, or one of 128
TRIES = 6                   # plans that are linked at most to find one within the budgets


@dataclass(frozen=True)
class Made:
    """The result of make_plan. predicted: the chosen plan with sizes by formula; plan: with the sizes of the linked firmware."""
    plan: Plan
    predicted: Plan
    front: list
    costs: dict
    board: str
    compiler: str
    clock_hz: int
    sha256: str
    bank: str = "dual"

    def ms(self, plan):
        """Return the milliseconds of a Plan's inference by formula, including those that the flash adds."""
        return 1000 * plan.true_cycles / self.clock_hz

    def layers(self):
        """Return one row for each layer of the plan: variant, predicted cycles, flash and scratch, and its stream."""
        streams = {name: i + 1 for i, s in enumerate(self.plan.streams) for name in s}
        rows = []
        for name, row in self.costs.items():
            variant = self.plan.variants.get(name, "direct")
            cost = row[variant]
            rows.append({"layer": name, "variant": variant, "cycles": round(cost.cycles),
                         "ms": 1000 * cost.time / self.clock_hz, "flash_bytes": cost.flash,
                         "scratch_bytes": cost.scratch, "stream": streams.get(name)})
        return rows

    def as_dict(self):
        """Return plain data, in the form that `save` writes and `read_plan` reads."""
        def row(plan):
            return {**dataclasses.asdict(plan), "ms": self.ms(plan)}
        return {"format": FORMAT, "board": self.board, "compiler": self.compiler, "clock_hz": self.clock_hz, "bank": self.bank,
                "model_sha256": self.sha256, "plan": row(self.plan), "predicted": row(self.predicted), "layers": self.layers(),
                "front": [row(p) for p in self.front]}

    def save(self, path):
        """Write plan.json."""
        write_json(path, self.as_dict())


def make_plan(model, *, board="stm32l4r9i-disco", compiler="auto", flash=None, ram=None, target_ms=None, bank="dual", **options):
    """Choose a kernel for each layer of an integer model within budgets for the whole firmware; return Made.

    flash, ram: bytes, by default nine tenths of the board's. target_ms: take the plan with the least flash (then RAM) that
    answers in so many milliseconds; without it, the fastest plan. bank: the flash as two banks ("dual") or one ("single"); the
    time includes its wait states. Kernels compiled for one shape run in SRAM2, or in flash if that is better within the budgets.
    The chosen plan is linked, so its sizes are exact. options: those of build_network (stack, name ...): a build of the plan by
    the same options then compiles nothing again in this process. Raises BudgetError, which names the smallest possible budget, if
    no plan fits.
    """
    facts, compiler = board_facts(board), find_compiler(compiler)[0]
    if target_ms is not None and not target_ms > 0:
        raise OptionError(f"a target of {target_ms} ms; expected more than 0", "--target-ms 150")
    if bank not in BANKS:
        raise OptionError(f"the flash as {bank!r} banks; expected {' or '.join(BANKS)}", "--bank dual")
    facts.check_bank(bank == "dual")
    given = {"flash": flash, "ram": ram}
    lengths = {"flash": facts.flash["length"], "ram": facts.ram["length"]}
    limits = {k: min(given[k], n) if given[k] else int(SPARE * n) for k, n in lengths.items()}
    table = _with_stack(load_table(board, compiler), options.get("stack", 4096))
    cycles = None if target_ms is None else target_ms * facts.clock_hz / 1000
    planners = [Planner(model.graph, table, load_stalls(board, code, bank)) for code in ("sram2", "flash")]
    for planner in sorted(planners, key=lambda p: _worth(p.front(**limits), cycles)):
        found = _within(model, planner, limits, cycles, board, compiler, {**options, "code": planner.stalls.code})
        if found:
            plan, chosen, front = found
            return Made(plan, chosen, front, planner.costs, board_facts(board).name, compiler, facts.clock_hz,
                        plain_sha256(model.graph), bank)
    raise refusal(min(reversed(planners), key=lambda p: _worth(p.front(**limits), None)), limits, cycles, facts)


def _worth(front, cycles):
    """Return the value by which fronts are compared: the time of the fastest plan; with a limit of cycles, the least flash."""
    if not front or cycles is not None and front[0].true_cycles > cycles:
        return math.inf
    return front[0].true_cycles if cycles is None else _preferred(front, cycles).flash_bytes


def _within(model, planner, limits, cycles, board, compiler, options):
    """Return (the plan with linked sizes, the plan as predicted, the front) for the best plan that is within the limits when
    linked, or None."""
    room = dict(limits)
    for _ in range(TRIES):
        front = planner.front(**room)
        if not front or cycles is not None and front[0].true_cycles > cycles:
            return None
        chosen = _preferred(front, cycles)
        plan = _linked(model, chosen, board, compiler, options)
        over = {k: getattr(plan, f"{k}_bytes") - limits[k] for k in limits}
        if max(over.values()) <= 0:
            return plan, chosen, undominated([plan, *front])
        wrong = {k: getattr(plan, f"{k}_bytes") - getattr(chosen, f"{k}_bytes") for k in limits}
        room = {k: min(room[k], limits[k] - wrong[k]) if over[k] > 0 else room[k] for k in room}      # this excludes the plan
    return None


def _with_stack(table, stack):
    """Return the Table for a given stack, instead of the 4096 bytes that it was measured with."""
    return replace(table, base_ram=table.base_ram + stack - 4096)


def _preferred(front, cycles):
    """Return the fastest plan; with a limit of cycles, the plan within it that has the least flash, then RAM."""
    if cycles is None:
        return front[0]
    return min((p for p in front if p.true_cycles <= cycles), key=lambda p: (p.flash_bytes, p.ram_bytes, p.true_cycles))


def _linked(model, plan, board, compiler, options):
    """Return the Plan with the sizes of the linked firmware."""
    with tempfile.TemporaryDirectory(prefix="tinyvgg-") as folder:
        try:
            network = build_network(apply_plan(model, plan), folder, board=board, compiler=compiler, **{"name": "network", **options})
        except BuildError as error:
            if not is_of_size(error):
                raise
            facts, where = board_facts(board), "ram" if "RAM" in error.problem else "flash"
            return replace(plan, **{f"{where}_bytes": max(getattr(plan, f"{where}_bytes"), getattr(facts, where)["length"] + 1)})
    return replace(plan, flash_bytes=network.image.flash_bytes, ram_bytes=network.image.ram_bytes,
                   arena_bytes=network.program.arena_bytes)


def refusal(planner, limits, cycles, facts):
    """Return the BudgetError that names the smallest possible budget and the layer that limits it."""
    name, costs = planner.graph.name, planner.costs
    least = {layer: min(c.flash for c in row.values()) for layer, row in costs.items()}
    total = planner.table.base_flash + sum(least.values())
    for_weights = max(1024, limits["flash"] - total + sum(constant_bytes(planner.graph).values()))
    smaller = f"fewer bits a weight: tinyvgg compress MODEL --scheme auto --flash {for_weights} --data DATA --out SMALL.tvq"
    if total > limits["flash"]:
        worst = max(least, key=least.get)
        return BudgetError(f"no plan of {name!r} fits {limits['flash']:,} bytes of flash; the least is about {total:,}, and "
                           f"{worst!r} holds it back, with {least[worst]:,} bytes", smaller)
    streams = planner.stream_sets()[-1]
    smallest = min((planner.smallest(s) for s in planner.stream_sets()), key=lambda p: p.ram_bytes)
    if smallest.ram_bytes > limits["ram"]:
        needs = {layer: min(row.values()) for layer, row in planner.needs(streams).items()}
        worst = max(needs, key=needs.get)
        return BudgetError(f"no plan of {name!r} fits {limits['ram']:,} bytes of RAM; the least is about {smallest.ram_bytes:,}, "
                           f"and {worst!r} holds it back, with {needs[worst]:,} bytes of maps and scratch",
                           "a smaller --stack, or a smaller network")
    fitting = planner.front(**limits)
    if not fitting:
        best = min(planner.front(ram=limits["ram"]), key=lambda p: p.flash_bytes)
        worst = max(least, key=least.get)
        return BudgetError(f"no plan of {name!r} fits {limits['flash']:,} bytes of flash with {limits['ram']:,} of RAM; "
                           f"with that RAM the least flash is about {best.flash_bytes:,}; {worst!r} holds it back", smaller)
    took = {layer: costs[layer][fitting[0].variants.get(layer, "direct")].time for layer in costs}
    worst, fastest = max(took, key=took.get), 1000 * fitting[0].true_cycles / facts.clock_hz
    wanted = f"answers in {1000 * cycles / facts.clock_hz:.4g} ms" if cycles else "keeps the budgets when linked"
    return BudgetError(f"no plan of {name!r} within {limits['flash']:,} bytes of flash and {limits['ram']:,} of RAM {wanted}; "
                       f"the least is about {fastest:.1f} ms, and {worst!r} holds it back, with "
                       f"{1000 * took[worst] / facts.clock_hz:.1f} ms",
                       f"--target-ms {fastest * 1.02:.{0 if fastest > 50 else 2}f}, or more flash or RAM")


# --- applying and reading -------------------------------------------------------------------------------------------------


def apply_plan(model, plan):
    """Return the QuantizedModel with the kernels of a Plan; its answers are the same, byte for byte."""
    graph = plain_graph(model.graph)
    names = {op.name: op for op in graph.ops}
    for name, variant in plan.variants.items():
        op = names.get(name)
        if op is None or not hasattr(op, "variant") or variant not in variants(op, names[op.inputs[0]].shape):
            raise FormatError(f"the plan runs layer {name[:60]!r} as {str(variant)[:20]!r}, which this model cannot use",
                              "a plan made for it: tinyvgg firmware plan MODEL --out DIR")
    planned = with_variants(graph, plan.variants)
    return QuantizedModel(with_schedule(planned, Schedule(plan.streams)), float_graph=model.float_graph)


def is_planned(graph):
    """Whether a Graph contains a plan."""
    return FACT in graph.facts or any(getattr(op, "variant", "direct") != "direct" for op in graph.ops)


def read_plan(path, model):
    """Read the Plan that `save` wrote; FormatError if it is damaged or was made for another model."""
    path = Path(path)
    try:
        found = read_json(path, 2 ** 24)
        if found["format"] != FORMAT:
            raise KeyError("format")
        made, row = str(found["model_sha256"]), found["plan"]
        streams = tuple(tuple(map(str, stream)) for stream in row["streams"])
        numbers = {k: int(row[k]) for k in ("cycles", "flash_bytes", "ram_bytes", "arena_bytes")}
        numbers |= {"time": int(row.get("time", 0)), "code": str(row.get("code", "flash"))}
        plan = Plan({str(k): str(v) for k, v in row["variants"].items()}, streams, **numbers)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise FormatError(f"{path} does not exist, or is not a plan of tinyvgg", "tinyvgg firmware plan MODEL --out DIR") from error
    if made != plain_sha256(model.graph):
        raise FormatError(f"{path} was made for another model than {model.graph.name!r}", "tinyvgg firmware plan MODEL --out DIR")
    return plan
