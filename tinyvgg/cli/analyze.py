"""Estimate what a model costs on a board: parameters, MACC, flash and RAM per layer, and what would help

MODEL is a file of Keras (only its configuration is read), another model file, the folder of a run, a zoo entry, or the name of an
architecture (light, base, notebook, resnet8). `--rules xcubeai` counts as ST's X-CUBE-AI does, to the byte where its reports
show the rule. The size of its runtime is a measured constant, marked as an estimate. `--rules tinyvgg` counts parameters as
Keras does, MACC as multiplications of weights, and the bytes of the integer graph: `none` and `low` have 8 bits a weight,
`medium` 4 bits in dense layers, `high` 4 bits everywhere. The output says whether the model fits, and which three changes
would help most.

Of an integer model (.tvq, .tflite) the bytes of constants and arena are printed, and whether they fit. With --rules xcubeai a .tflite
of integers is counted as ST's tool counts that file.

example: tinyvgg analyze base.h5 --board stm32l4r9i-disco --rules xcubeai --compression high
         tinyvgg analyze light --rules tinyvgg --figure layers.png
         tinyvgg analyze light.tvq --board nucleo-l476rg
         tinyvgg analyze --boards
"""

from pathlib import Path

from tinyvgg import io
from tinyvgg.analyze import boards
from tinyvgg.analyze.analysis import COMPRESSIONS, RULES, analyze
from tinyvgg.analyze.open import describe_path
from tinyvgg.analyze.speed import SOURCE, in_words
from tinyvgg.cli._common import add_common, note, print_result
from tinyvgg.errors import OptionError
from tinyvgg.open import file_or_word
from tinyvgg.report.tables import table


def add_arguments(parser):
    parser.add_argument("model", nargs="?", metavar="MODEL",
                        help="model file, folder of a run, zoo entry, or an architecture's name")
    parser.add_argument("--board", default="stm32l4r9i-disco", help="name of a board, a .toml file that describes one, or a folder with a board.toml")
    parser.add_argument("--boards", action="store_true", help="list the known boards")
    parser.add_argument("--rules", choices=RULES, help="whose rules of counting (default xcubeai; for integer models tinyvgg)")
    parser.add_argument("--compression", choices=COMPRESSIONS, default="none", help="level of compression (default none)")
    parser.add_argument("--figure", metavar="FILE", help="write bars of bytes and MACC per layer (.png, .svg, .pdf)")
    add_common(parser)


def run(arguments):
    if arguments.boards:
        known = [boards.load(name) for name in boards.names()]
        rows = [[b.name, b.mcu, b.core, b.clock_hz // 10**6, f"{b.flash_bytes:,}", f"{b.ram_bytes:,}"] for b in known]
        print_result(arguments, [vars(b) for b in known], table(["board", "chip", "core", "MHz", "flash B", "RAM B"], rows))
        return
    if not arguments.model:
        raise OptionError("no model was named", "tinyvgg analyze model.h5, or tinyvgg analyze base")
    integers = _integer_model(arguments.model)
    if integers is not None and arguments.rules != "xcubeai":
        _integers(arguments, integers)
        return
    found = analyze(
        describe_path(file_or_word(arguments.model)) if integers is None else integers,
        board=arguments.board,
        rules=arguments.rules or "xcubeai",
        compression=arguments.compression,
    )
    if arguments.figure:
        from tinyvgg.report.plots import layer_bars

        shown = [row for row in found.layers if row.macc or row.weights_bytes]
        layer_bars(
            [r.name for r in shown],
            [r.weights_bytes for r in shown],
            [r.macc for r in shown],
            arguments.figure,
            title=f"{arguments.model}, rules {found.rules}, compression {found.compression}",
        )
        note(arguments, f"wrote {arguments.figure}")
    print_result(arguments, found.as_dict(), _text(found))


def _integer_model(path):
    """Return the model in a .tvq or an integer .tflite; None for anything else."""
    if str(path).endswith(".tvq"):
        from tinyvgg.quant.tvq import load_tvq
        return load_tvq(path)
    if not Path(path).is_file() or io.kind_of(path) != "tflite":
        return None
    model = io.load_model(path)
    return model if hasattr(model, "graph") else None


def _integers(arguments, model):
    """Analyze an integer model on a board."""
    from tinyvgg.analyze.integers import analyze_integers

    result = analyze_integers(model, arguments.board)
    rows = [[r["layer"], r["kind"], "x".join(map(str, r["output_shape"])), f"{r['constant_bytes']:,}"] for r in result["layers"]]
    lines = [table(["layer", "type", "output", "constants B"], rows), ""]
    for what, need, have, missing in (("flash", "flash_bytes", "board_flash_bytes", "missing_flash"),
                                      ("RAM", "ram_bytes", "board_ram_bytes", "missing_ram")):
        left = f"{result[missing]:,} B too much" if result[missing] else f"{result[have] - result[need]:,} B free"
        lines.append(f"{what:<6}{result[need]:>12,} B; {result['board']} has {result[have]:,} B: {left}")
    lines += ["", f"{'fits' if result['fits'] else 'DOES NOT FIT'} on {result['board']} ({result['mcu']})"]
    lines += [f"note: {note_}" for note_ in result["notes"]]
    print_result(arguments, result, "\n".join(lines))


def _answers(found):
    """Return lines for the first questions: which layer is largest, where most RAM is needed, how long it takes."""
    lines = []
    if found.weights_bytes:
        big = found.largest
        share = 100 * big.weights_bytes / found.weights_bytes
        lines.append(f"largest: {big.name}, {big.weights_bytes:,} B, {share:.0f} % of the weights")
    if found.peak:
        parts = ", ".join(f"{name} {size:,}" for name, size in found.peak.tensors.items())
        lines.append(f"activations are fullest at {found.peak.operation}: {parts} B (estimate)")
    if found.milliseconds:
        lines.append(f"an inference: {in_words(found.milliseconds)} at {found.board.clock_hz // 10**6} MHz (estimate: {SOURCE})")
    return lines


def _text(found):
    rows = [
        [r.name, r.kind, "x".join(map(str, r.output_shape)), f"{r.parameters:,}", f"{r.macc:,}", f"{r.weights_bytes:,}", r.note]
        for r in found.layers
    ]
    rows.append(["total", "", "", f"{found.parameters:,}", f"{found.macc:,}", f"{found.weights_bytes:,}", ""])
    lines = [table(["layer", "type", "output", "parameters", "MACC", "weights B", ""], rows), ""]
    board = found.board
    code = (
        (f" + {found.runtime_flash_bytes:,} runtime (estimate)", f" (estimate) + {found.runtime_ram_bytes:,} runtime (estimate)")
        if found.rules == "xcubeai"
        else (", code apart", ", variables and stack apart")
    )
    for what, parts, need, have, missing in (
        (
            "flash",
            f"{found.weights_bytes:,} weights{code[0]}",
            found.flash_bytes,
            board.flash_bytes,
            found.missing_flash,
        ),
        (
            "RAM",
            f"{found.activations_bytes:,} activations{code[1]}",
            found.ram_bytes,
            board.ram_bytes,
            found.missing_ram,
        ),
    ):
        verdict = f"{missing:,} B too much" if missing else f"{have - need:,} B free"
        lines.append(f"{what:<6}{need:>12,} B = {parts}; {board.title} has {have:,} B: {verdict}")
    verdict = "fits" if found.fits else "DOES NOT FIT"
    lines += ["", f"{verdict} on {board.title} ({board.mcu}), rules {found.rules}, compression {found.compression}"]
    lines[-1] += ", as far as an estimate can tell" if found.fits_is_estimate else ""
    lines += _answers(found)
    if found.changes:
        lines += ["", "what would help most:"]
        lines += [f"  {c.what}: {-c.flash_bytes:+,} B flash, {-c.ram_bytes:+,} B RAM" for c in found.changes]
    return "\n".join(lines + [""] + [f"note: {text}" for text in found.notes])
