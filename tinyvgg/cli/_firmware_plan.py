"""`tinyvgg firmware plan`, and the use of plans by `firmware build`."""
from pathlib import Path

from tinyvgg.cli._classifier import add_model, images_for
from tinyvgg.cli._common import add_common, note, parse_size, print_result
from tinyvgg.errors import OptionError, require
from tinyvgg.open import open_model

ROWS = 12                   # plans of the front that are printed


def add_build_options(parser):
    """Add the options that determine how firmware is built."""
    parser.add_argument("--board", default="stm32l4r9i-disco", help="default stm32l4r9i-disco")
    parser.add_argument("--compiler", default="auto", choices=("auto", "zig", "gcc"), help="default: zig, else arm-none-eabi-gcc")
    parser.add_argument("--flash", metavar="SIZE", help="limit for the flash of the whole firmware, as 512K (KiB) or in bytes")
    parser.add_argument("--ram", metavar="SIZE", help="limit for the RAM of variables, stack and arena, as 64K or in bytes")


def add_plan_options(parser):
    """Add the options that determine which plan is chosen."""
    parser.add_argument("--target-ms", type=float, metavar="MS", help="take the least flash that answers within this many ms, as estimated "
                        "(default: the fastest within --flash and --ram)")
    parser.add_argument("--bank", default="dual", choices=("dual", "single"),
                        help="plan for the flash as two banks of 64 bits, as delivered (default), or as one of 128 (option byte DBANK)")


def add_plan_choice(parser, more=""):
    """Add the option --plan, for actions that write C."""
    parser.add_argument("--plan", default="auto", metavar="PLAN",
                        help="plan.json of firmware plan; direct (the smallest kernels); auto "
                        "(default): as the .tvq says, else the fastest within the budgets, or nine tenths of the board" + more)


def build_options(arguments):
    """Return the options as keyword arguments of build_network and make_plan."""
    return {"board": arguments.board, "compiler": arguments.compiler, "flash": parse_size(arguments.flash),
            "ram": parse_size(arguments.ram, "--ram 64K")}


def add_plan(add_parser):
    """Add the action `plan`."""
    plan = add_parser("plan", help="choose a kernel for each layer, within limits for flash, RAM and time")
    add_model(plan)
    plan.add_argument("--data", metavar="DATA", help="accuracy on its test images; calibrates where MODEL is a network")
    plan.add_argument("-n", type=int, metavar="N", help="only the first N test images")
    plan.add_argument("--scheme", default="int8", help="how a MODEL that is a network becomes integers (default int8)")
    plan.add_argument("--stack", type=int, default=4096, help="bytes of stack (default 4096)")
    plan.add_argument("--out", metavar="DIR", help="write plan.json and plan.png there (and model.tvq where it was made here)")
    add_build_options(plan)
    add_plan_options(plan)
    add_common(plan)
    plan.set_defaults(work=_plan)


def _plan(arguments):
    if arguments.out:
        require("matplotlib", "plot")
    model, made_here = _integers(arguments)
    result, made = plan_file(model, arguments.data, n=arguments.n, target_ms=arguments.target_ms, bank=arguments.bank,
                             stack=arguments.stack, **build_options(arguments))
    if arguments.out:
        folder = Path(arguments.out)
        made.save(folder / "plan.json")
        from tinyvgg.report.plots import plan_front
        plan_front(result["front"], result["plan"], folder / "plan.png", title=f"plans of {model.graph.name}, {made.compiler}")
        result["files"] = [str(folder / "plan.json"), str(folder / "plan.png")]
        if made_here:
            model.save(folder / "model.tvq")
            result["files"].append(str(folder / "model.tvq"))
    print_result(arguments, result, _text(result))


def plan_file(model, data=None, *, n=None, **options):
    """Plan an integer model; return (plain data: plan, layers, front, accuracy on the data's test images, firmware.plan.Made).

    options: those of firmware.plan.make_plan. All plans of a model give the same answers, so there is one accuracy for all.
    """
    from tinyvgg.firmware.plan import make_plan
    made = make_plan(model, **options)
    result = made.as_dict()
    accuracy, about = (None, {}) if data is None else _accuracy(model, data, n)
    result |= about
    for row in (result["plan"], *result["front"]):
        row["accuracy"] = accuracy
    return result, made


def _integers(arguments):
    """Return (the integer model, whether it was made here)."""
    model = open_model(arguments.model, input_range=arguments.input_range, board=False)
    if not hasattr(model, "layers"):
        return model, False
    if arguments.data is None and model.made_for is None:
        raise OptionError(f"{arguments.model} is a network of floats; plans are for integers, made with images it learnt from",
                          "--data cifar10, or tinyvgg compress MODEL --scheme int8 --data DATA --out MODEL.tvq")
    from tinyvgg.data import load_for
    from tinyvgg.quant.schemes import compress
    note(arguments, f"compressing: {arguments.scheme}, calibrated on 512 training images")
    x, y = images_for(model, load_for(model, arguments.data), "train", 512)
    return compress(model, arguments.scheme, x, y, seed=arguments.seed), True


def _accuracy(model, data, n):
    """Return (accuracy on test images, facts about these images for the result)."""
    from tinyvgg.data import load_for
    from tinyvgg.train import evaluate
    dataset = load_for(model, data)
    result = evaluate(model, *images_for(model, dataset, "test", n))
    return result["accuracy"], dataset.told("test", result["n"])


def _text(result):
    from tinyvgg.report.tables import table
    plan, front = result["plan"], result["front"]
    shown = front if len(front) <= ROWS else [front[round(i * (len(front) - 1) / (ROWS - 1))] for i in range(ROWS)]
    shown = sorted([r for r in shown if r["variants"] != plan["variants"] or r["streams"] != plan["streams"]] + [plan],
                   key=lambda r: (r["ms"], r["flash_bytes"]))
    rows = [["*" if r is plan else "", f"{r['ms']:.1f}", f"{r['cycles']:,}", f"{r['flash_bytes']:,}",
             f"{r['ram_bytes']:,}", f"{r['arena_bytes']:,}", "-" if r["accuracy"] is None else f"{100 * r['accuracy']:.2f}"]
            for r in shown]
    layers = [[r["layer"], r["variant"], f"{r['ms']:.2f}", f"{r['cycles']:,}", f"{r['flash_bytes']:,}",
               f"{r['scratch_bytes']:,}", "" if r["stream"] is None else str(r["stream"])] for r in result["layers"]]
    lines = [table(["", "ms", "cycles", "flash B", "RAM B", "arena B", "accuracy %"], rows), "",
             table(["layer", "kernel", "ms", "cycles", "flash B", "scratch B", "row by row"], layers), "",
             f"* the plan ({result['compiler']}): sizes of the linked image; ms by formula, flash as {result['bank']} bank, kernels in "
             f"{plan['code']}; cycles by formula at zero wait states"]
    if len(front) > len(shown):
        lines.append(f"{len(front)} plans that no other beats; --json has them all")
    if "files" in result:
        lines += [f"wrote {', '.join(result['files'])}", f"Next: tinyvgg firmware build MODEL --plan {result['files'][0]}"]
    return "\n".join(lines)


def planned(arguments, model, **options):
    """Return the model of `firmware build`, `firmware export` or `codegen` with the plan of --plan; options: see `make_plan`. Float
    models have no plans."""
    from tinyvgg.quant.model import QuantizedModel
    wanted = arguments.plan
    if not isinstance(model, QuantizedModel):
        if wanted != "auto":
            raise OptionError(f"{arguments.model} computes with floats; plans are for integer models",
                              "tinyvgg compress MODEL --scheme int8 --data DATA --out MODEL.tvq")
        return model
    from tinyvgg.firmware.plan import apply_plan, plain_graph, read_plan
    if wanted == "direct":
        return QuantizedModel(plain_graph(model.graph), float_graph=model.float_graph)
    if wanted != "auto":
        return apply_plan(model, read_plan(wanted, model))
    if getattr(arguments, "weights", "flash") != "flash" or getattr(arguments, "defence", "") or getattr(arguments, "memory_access", False):
        return model
    return fastest(arguments, model, **build_options(arguments), stack=getattr(arguments, "stack", 4096),
                   target_ms=arguments.target_ms, bank=arguments.bank, **options)


def planned_without_a_compiler(arguments, model):
    """Like `planned`, for C that is compiled elsewhere. If there is no compiler to link a plan with, --plan auto leaves the model
    unchanged and prints a note."""
    from tinyvgg.errors import BuildError
    from tinyvgg.firmware.build import find_compiler
    asked = arguments.flash or arguments.ram or arguments.target_ms is not None
    if arguments.plan == "auto" and not asked:
        try:
            find_compiler(arguments.compiler)
        except BuildError as error:
            note(arguments, f"{error.problem}, so no plan was made: the kernels are the smallest; {error.hint} for faster ones")
            return model
    return planned(arguments, model)


def fastest(arguments, model, **options):
    """Return the model with the fastest plan within the budgets; a float model, or one that has a plan, is returned unchanged."""
    from tinyvgg.firmware.plan import apply_plan, is_planned, make_plan
    from tinyvgg.quant.model import QuantizedModel
    if not isinstance(model, QuantizedModel) or is_planned(model.graph):
        return model
    made = make_plan(model, **options)
    note(arguments, f"plan: {made.ms(made.plan):.1f} ms by formula; tinyvgg firmware plan shows the others")
    return apply_plan(model, made.plan)
