"""Compare what X-CUBE-AI wrote with a model: where they differ, and why

REPORT is a text report, a console log of STM32CubeMX, one of the JSON files, or the folder that holds them; the generated C and
network_val_io.npz in the same folder are compared too. MODEL is the .h5 or .tflite that X-CUBE-AI was given, the folder of a run, a zoo
entry, or the name of an architecture of this library. Without it the report is checked against itself: its sums, each row by
its shape and parameters, each layer of the C code by its tensors.
Only certain differences are called so; what no rule explains is listed as not rebuilt, with the reason.
Exit code 1 means that something differs or that nothing could be compared. Estimates (activations, the runtime's size) do not count.

example: tinyvgg crosscheck network_generate_report.txt --model model.h5 --html crosscheck.html
         tinyvgg crosscheck X-CUBE-AI/App --model model.h5
         tinyvgg crosscheck analyse.txt --model base
         tinyvgg crosscheck network_generate_report.txt --model quantized.tflite
"""

from pathlib import Path

from tinyvgg.analyze.open import describe_path
from tinyvgg.cli._common import add_common, note, print_result
from tinyvgg.errors import TinyVGGError
from tinyvgg.open import file_or_word
from tinyvgg.report.record import write_bytes
from tinyvgg.report.tables import table

VERDICTS = {"agree": "they agree in {scope}", "differ": "THEY DIFFER:", "not rebuilt": "NOT REBUILT:"}


def add_arguments(parser):
    parser.add_argument("report", metavar="REPORT", help="a report, a log, a JSON file, or the folder that holds them")
    parser.add_argument("--model", help="model file, folder of a run, zoo entry, or an architecture's name")
    parser.add_argument("--generated", metavar="DIR", help="folder of network.c and network_data_params.c, if not the report's")
    parser.add_argument("--validation", metavar="NPZ", help="network_val_io.npz, if not in the report's folder")
    parser.add_argument("--simulation", metavar="TVQ", help="also classify the validation's images with this .tvq")
    parser.add_argument("--html", metavar="FILE", help="write the comparison as one HTML page")
    add_common(parser)


def run(arguments):
    from tinyvgg.cli._crosscheck_page import render
    from tinyvgg.xcubeai import crosscheck
    from tinyvgg.xcubeai.client import clients_beside

    model, path = _open(arguments)
    simulation = None
    if arguments.simulation:
        from tinyvgg.io import load_model

        simulation = load_model(arguments.simulation)
    found = crosscheck(
        arguments.report,
        model,
        model_path=path,
        generated=arguments.generated,
        validation=arguments.validation,
        simulation=simulation,
    )
    if arguments.html:
        write_bytes(arguments.html, render(found))
        note(arguments, f"wrote {arguments.html}")
    clients = clients_beside(arguments.report)
    print_result(arguments, {**found.as_dict(), "clients": clients}, "\n".join([_text(found), *_client_text(clients)]))
    return 0 if found.agrees else 1


def _open(arguments):
    """Return the model with its weights if this library can open it, else its description."""
    if not arguments.model:
        return None, None
    from tinyvgg.io import load_model, model_path

    path = file_or_word(arguments.model)
    if not Path(path).exists():
        return describe_path(path), None
    path = model_path(path)
    try:
        return load_model(path), path
    except TinyVGGError as error:
        operations = describe_path(path)
        note(arguments, f"only the configuration of {path} was read: {error.problem}")
        return operations, path


def _client_text(clients):
    from tinyvgg.xcubeai.client import CLIENTS

    return [f"{path} is written for {CLIENTS[client]}: tinyvgg firmware export --client {client}" for path, client in clients.items()]


def _remark(total):
    """Return a remark on how a total was computed, if that is not obvious."""
    if total.ok:
        return total.reason
    return f"not rebuilt: {total.unknown}" if total.unknown else ("estimate: " if total.estimate else "") + total.reason


def _text(found):
    from tinyvgg.xcubeai.answers import answers

    report = found.report
    lines = [
        f"{report.path}: {report.tool or 'X-CUBE-AI'} (X-CUBE-AI {report.version or '?'}), compression {report.compression}",
        "",
    ]
    lines += [f"  {text}" for text in answers(found)] + [""]
    rows = [
        [
            t.name,
            f"{t.theirs:,}",
            f"{t.ours:,}",
            f"{t.theirs - t.ours:+,}" if not t.ok else "0",
            _remark(t),
        ]
        for t in found.totals
    ]
    lines += [table(["", "theirs", "ours", "difference", ""], rows), ""] if rows else []
    wrong, unknown = [p for p in found.rows if not p.ok], [p for p in found.rows if p.unknown]
    lines.append(
        f"{len(found.rows) - len(unknown)} operations compared, {len(wrong)} differ, {len(unknown)} not rebuilt; "
        f"{len(found.sums)} sums of the report checked, {sum(not c.ok for c in found.sums)} wrong"
    )
    if found.weights:
        shared = [w for w in found.weights if w.mse is not None]
        compared = [w for w in found.weights if w.compared]
        lines.append(f"{len(compared)} tensors of the generated C compared, {sum(not w.ok for w in compared)} differ")
        lines += [
            f"  {w.theirs}: {w.format}, squared error {w.mse:.4g}, the best codebook of the same bytes {w.best_mse:.4g} "
            f"({100 * w.gain:.1f} % less)"
            for w in shared
        ]
    lines += [
        f"  {v['what']}: l2r {v['l2r']:.4g}, acc {v['acc']:.4g}, n={v['n']}" for v in found.validation if v.get("l2r") is not None
    ]
    lines += ["", VERDICTS[found.verdict].format(scope=found.scope)]
    lines += [f"  {d}" for d in found.differences[:40]]
    if found.not_rebuilt:
        lines += ["not rebuilt, so neither right nor wrong:"] * (found.verdict != "not rebuilt")
        lines += [f"  {d}" for d in found.not_rebuilt[:40]]
    return "\n".join(lines + [f"note: {text}" for text in found.notes])
