"""The actions of `board` for a board that runs a network: evaluate, profile, validate."""
from tinyvgg.cli._classifier import add_data, images_for, network_name
from tinyvgg.cli._common import add_common, images_told, note, print_result
from tinyvgg.open import open_model
from tinyvgg.report.record import tell, told


def _add_port(parser, *, build=False):
    where = parser.add_mutually_exclusive_group(required=True) if build else parser
    where.add_argument("--port", required=not build, help="/dev/ttyACM0, COM3, socket://HOST:PORT, virtual:FILE.elf")
    if build:
        where.add_argument("--build", metavar="MODEL",
                           help="build this model's firmware, as firmware build does, and run it on a virtual board")
        parser.add_argument("--scheme", default="int8", help="with --build: how a float model is compressed (default int8)")
        parser.add_argument("--compiler", default="auto", choices=("auto", "zig", "gcc"),
                            help="with --build (default: zig, else gcc)")
    add_protocol(parser)
    parser.add_argument("--baud", type=int, default=115200, help="rate to work at (default 115200)")
    parser.add_argument("--timed", action="store_true", help="a virtual board sends at the speed of the baud rate")
    add_virtual_options(parser)
    parser.add_argument("--model", metavar="FILE.tvq",
                        help="compare answers with this: the .tvq beside its firmware, or the one it was built from (default: the one "
                        "beside a virtual: ELF)")
    add_data(parser, "the data that the model beside the ELF was made for")


def add_protocol(parser):
    """Add the option for the protocol that the board speaks."""
    parser.add_argument("--protocol", default="auto", choices=("auto", "tinyvgg", "student", "stm"),
                        help="that of tinyvgg, of the student project, or of ST (stm: X-CUBE-AI's validation firmware, and tinyvgg's firmware); "
                        "auto: tinyvgg, else student (default)")


def add_virtual_options(parser):
    """Add the options for the timing of a virtual board."""
    parser.add_argument("--flash-model", default="calibrated", choices=("calibrated", "none"),
                        help="a virtual board's flash: with the delays of the real chip (default), or without any")
    parser.add_argument("--bank", default="dual", choices=("dual", "single"),
                        help="a virtual board's option byte: two banks of 64 bits, as delivered (default), or one of 128")


def virtual_options(arguments):
    """Return the options as keyword arguments of Machine."""
    return {"timed": arguments.timed, "flash_model": arguments.flash_model, "two_banks": arguments.bank == "dual"}


def ms_text(result):
    """Return "110.2 ms +- 3 %" for a result with ms_per_image, ms_error and flash_model."""
    ms, error, model = (result[k] for k in ("ms_per_image", "ms_error", "flash_model"))
    if model is None:
        return f"{ms:.2f} ms"
    note = "at zero wait states" if model == "none" else f"+- {error:g} %" if error is not None else "at settings not calibrated"
    return f"{ms:.1f} ms {note}"


def _board(arguments, port, model=None):
    """Connect to a board; `model` gives the range of the real inputs if the protocol does not."""
    from tinyvgg.board import Board
    options = {"bounds": getattr(model, "bounds", None)}
    if port.startswith("virtual:"):
        options |= virtual_options(arguments)
    return Board(port, arguments.protocol, baud=arguments.baud, **options)


def _images(arguments, board, model, n):
    """Return (images, labels, classes, the DataSet) of the test part; without --data, of the data that `model` was made for."""
    from tinyvgg.data import load_for
    dataset = load_for(model, arguments.data)
    x, y = images_for(board, dataset, "test", n)
    tell(**dataset.told("test", len(x)))
    return x, y, dataset.classes, dataset


# --- evaluate ------------------------------------------------------------------------------------------------------------
def _add_evaluate(add_parser):
    evaluate = add_parser("evaluate", help="accuracy, agreement with the simulation, time; resumes after a cut")
    _add_port(evaluate, build=True)
    evaluate.add_argument("-n", type=int, default=1000, metavar="N", help="images (default 1000)")
    evaluate.add_argument("--out", metavar="DIR",
                          help="folder for the answers; after a stop the same command continues")
    evaluate.add_argument("--figure", metavar="FILE", help="draw the confusion matrix (.png, .svg, .pdf; extra plot)")
    add_common(evaluate)
    evaluate.set_defaults(work=_evaluate)


def _evaluate(arguments):
    from pathlib import Path

    from tinyvgg.board.evaluator import evaluate_board, model_beside
    from tinyvgg.report.record import write_json
    out = Path(arguments.out) if arguments.out else None
    port = arguments.port or _built(arguments, out)
    model = model_beside(port, arguments.model)
    with _board(arguments, port, model) as board:
        x, y, classes, dataset = _images(arguments, board, model, arguments.n)
        result = evaluate_board(board, x, y, model=model, out=out and out / "answers.jsonl", classes=classes, seed=arguments.seed,
                                quiet=arguments.quiet)
    result |= dataset.told("test", result["n"])
    if out:
        write_json(out / "evaluation.json", {**told(), **result})
    if arguments.figure:
        from tinyvgg.report.plots import confusion_matrix
        confusion_matrix(result["confusion"], [row["class"] for row in result["per_class"]], arguments.figure)
    print_result(arguments, result, _evaluation_text(result))
    return 1 if result["agreement"] is not None and result["agreement"] < 1 else 0


def _built(arguments, out):
    """Build the firmware of --build MODEL and return the URL of a virtual board with it."""
    from pathlib import Path

    from tinyvgg.cli._firmware_plan import fastest
    from tinyvgg.data import load_for
    from tinyvgg.firmware.network import build_network
    from tinyvgg.quant.schemes import FLOAT, compress
    model = open_model(arguments.build, board=False)
    if hasattr(model, "layers"):
        with_images = "" if arguments.scheme in FLOAT else ", calibrated on 512 training images"
        note(arguments, f"compressing: {arguments.scheme}{with_images}")
        x, y = (None, None) if arguments.scheme in FLOAT else images_for(model, load_for(model, arguments.data), "train", 512)
        model = compress(model, arguments.scheme, x, y, seed=arguments.seed)
    name = network_name(arguments.build)
    model = fastest(arguments, model, compiler=arguments.compiler, name=name)
    network = build_network(model, out or Path("build"), name=name, compiler=arguments.compiler)
    note(arguments, f"built {network.image.elf} with {network.image.compiler}: {network.image.flash_bytes:,} bytes of flash, "
                    f"{network.image.ram_bytes:,} of RAM")
    return f"virtual:{network.image.elf}"


def _evaluation_text(result):
    low, high = (100 * v for v in result["interval"])
    lines = [f"accuracy {100 * result['accuracy']:.2f} % (95 % interval {low:.2f} to {high:.2f}; "
             f"{images_told(result)})"]
    if result["agreement"] is not None:
        lines.append(f"agreement with the simulation {100 * result['agreement']:.2f} %"
                     + (f"; different: images {result['different']}" if result["different"] else ""))
    if result["ms_per_image"] is not None:
        at = " at zero wait states" if result["flash_model"] else ""
        lines.append(f"{ms_text(result)} of inference an image ({result['cycles_per_image']:,.0f} cycles{at}), "
                     f"{result['wire_ms_per_image']:.2f} ms of everything else")
    else:
        lines.append(f"{result['total_ms_per_image']:.2f} ms an image")
    if result["instructions_per_image"] is not None:
        lines.append(f"{result['instructions_per_image']:,.0f} instructions an image")
    if result["repeats"] or result["reconnects"] or result["resumed"]:
        lines.append(f"{result['repeats']} frames repeated, {result['reconnects']} reconnections, "
                     f"{result['resumed']} answers of an earlier run")
    lines += [f"{row['class']:<12}{row['n']:>6}  " + ("-" if row["accuracy"] is None else f"{100 * row['accuracy']:.2f} %")
              for row in result["per_class"]]
    return "\n".join(lines)


# --- profile -------------------------------------------------------------------------------------------------------------
def _add_profile(add_parser):
    profile = add_parser("profile", help="cycles of each layer; stack and arena in use")
    _add_port(profile)
    profile.add_argument("-n", type=int, default=3, metavar="N", help="images (default 3)")
    profile.add_argument("--beside", metavar="ELF",
                         help="the firmware that the board runs: compare each layer's modelled cycles with the board's")
    add_common(profile)
    profile.set_defaults(work=_profile)


def _profile(arguments):
    from tinyvgg.board.evaluator import model_beside, profile_board, profile_model
    model = model_beside(arguments.port, arguments.model)
    with _board(arguments, arguments.port, model) as board:
        x = _images(arguments, board, model, arguments.n)[0]
        result = profile_board(board, x)
        sha256 = board.sha256
    text = _profile_text(result)
    if arguments.beside:
        result["models"] = profile_model(arguments.beside, x, sha256)
        text += "\n\n" + _beside_text(result)
    print_result(arguments, result, text)


def _beside_text(result):
    """Return the milliseconds of the board next to those of the models of it."""
    from tinyvgg.report.tables import table
    models = result["models"]
    lines = []
    for i, row in enumerate([*result["layers"], {"layer": "whole network", "ms": result["ms_per_image"]}]):
        theirs = [[*m["layers"], {"ms": m["ms_per_image"]}][i]["ms"] for m in models.values()]
        ratios = [part for ms in theirs for part in (f"{ms:.3f}", f"{row['ms'] / ms:.2f}" if ms else "-")]
        lines.append([row["layer"], f"{row['ms']:.3f}", *ratios])
    heads = [part for name in models for part in (f"{name} ms" if name != "none" else "zero wait ms", "board / model")]
    text = table(["layer", "board ms", *heads], lines)
    calibrated = models["calibrated"]
    if calibrated["ms_error"] and not result["modelled"]:
        off = 100 * (calibrated["ms_per_image"] / result["ms_per_image"] - 1)
        text += (f"\nthe calibrated model is off by {off:+.1f} %; it claims +- {calibrated['ms_error']:g} %")
    return text


def _profile_text(result):
    from tinyvgg.report.tables import table
    rows = [[row["layer"], f"{row['cycles']:,.0f}", "-" if row["instructions"] is None else f"{row['instructions']:,.0f}",
             f"{row['ms']:.3f}", f"{100 * row['ms'] / result['ms_per_image']:.1f}"] for row in result["layers"]]
    at = ", zero wait states" if result["modelled"] else ""
    kind = "modelled" if result["modelled"] else "measured"
    head = (f"{result['model']}: {ms_text(result)} an image at {result['clock_hz'] / 1e6:.0f} MHz, {result['cycles_per_image']:,.0f} "
            f"cycles ({kind}{at})")
    return "\n".join([head, table(["layer", "cycles" + at, "instructions", "ms", "%"], rows), _usage_text(result["usage"])])


def _usage_text(usage):
    if "stack_bytes" not in usage:                   # ST's protocol
        stack = "unknown" if usage["stack_used"] is None else f"{usage['stack_used']:,} bytes"
        return f"stack {stack}, arena {usage['arena_bytes']:,}, constants {usage['constants_bytes']:,}"
    return (f"stack {usage['stack_used']:,} of {usage['stack_bytes']:,} bytes, "
            f"arena {usage['arena_used']:,} of {usage['arena_bytes']:,}, "
            f"flash {usage['flash_used']:,}, variables {usage['ram_static']:,}")


# --- validate --------------------------------------------------------------------------------------------------------------
def _add_validate(add_parser):
    validate = add_parser("validate", help="ST's metrics against the .h5; the first layer that differs from the simulation")
    _add_port(validate)
    validate.add_argument("--reference", metavar="MODEL", help="the original model (.h5), for the metrics")
    validate.add_argument("-n", type=int, default=10, metavar="N", help="images (default 10)")
    add_common(validate)
    validate.set_defaults(work=_validate)


def _validate(arguments):
    from tinyvgg.board.evaluator import check_model, model_beside
    from tinyvgg.board.validate import validate_board
    from tinyvgg.errors import OptionError
    simulation = model_beside(arguments.port, arguments.model)
    reference = open_model(arguments.reference, board=False) if arguments.reference else None
    if simulation is None and reference is None:
        raise OptionError("there is nothing to compare the board with", "--reference light.h5, or --model light.tvq")
    known = reference if simulation is None else simulation
    with _board(arguments, arguments.port, known) as board:
        check_model(board, simulation)
        x = _images(arguments, board, known, arguments.n)[0]
        result = validate_board(board, x, reference=reference, simulation=simulation)
    print_result(arguments, result, _validation_text(result))
    return 0 if result["passed"] else 1


def _validation_text(result):
    from tinyvgg.report.tables import table
    parts = []
    if result["metrics"]:
        parts.append(table(list(result["metrics"]), [[f"{v:.6g}" for v in result["metrics"].values()]]))
    if result.get("protocol") == "stm":
        return "\n\n".join([*parts, *_stm_text(result)])
    if result["layers"]:
        parts.append(table(["layer", "same", "of"], [[r["layer"], r["same"], r["of"]] for r in result["layers"]]))
        first = result["first_different"]
        parts.append("every layer of every image is the simulation's" if first is None
                     else f"the first layer that differs: {first['layer']!r}, in image {first['image']}")
    return "\n\n".join(parts)


def _stm_text(result):
    from tinyvgg.report.tables import table
    parts = []
    if result["layers"]:
        parts.append(table(["layer", "cycles", "ms"], [[r["layer"], f"{r['cycles']:,}", f"{r['ms']:.3f}"] for r in result["layers"]]))
    first = result["first_different"]
    if "agreement" in result:
        parts.append(f"the outputs of {result['n']} images are the simulation's" if first is None
                     else f"the outputs differ from the simulation's, first in image {first['image']}; "
                          f"{100 * result['agreement']:.2f} % are the same")
    return [*parts, f"{result['model']}: {result['ms_per_image']:.2f} ms an image, as the board measures it"]


ACTIONS = [_add_evaluate, _add_profile, _add_validate]
