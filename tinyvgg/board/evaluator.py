"""Evaluate a board: accuracy, agreement with the simulation (the model in Python), time on the wire and in the processor. Answers
are saved at once; a stopped evaluation can continue."""
import hashlib
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinyvgg.board.answers import Answers
from tinyvgg.codegen.variants import plain_sha256
from tinyvgg.errors import FormatError, LinkError, OptionError
from tinyvgg.kernels.reference import softmax
from tinyvgg.report.progress import Progress
from tinyvgg.report.record import sha256_arrays, told, versions
from tinyvgg.types import Images, Labels, PathLike

FLOAT_TOLERANCE = 1e-5            # of the largest logit: sums of floats in another order


def evaluate_board(board: Any, x: Images, y: Labels, *, model: Any = None, out: PathLike | None = None,
                   classes: Sequence[str] | None = None, seed: int = 0, quiet: bool = True,
                   limit: int | None = None) -> dict[str, Any]:
    """Classify images x (N, H, W, C) with labels y (N,) on a Board, one after another; return plain data.

    model: the QuantizedModel or CompressedModel that should be on the board, or None. With it, `agreement` is the share of images
    with the same answer as the model's in Python: the same bytes; for floats, and in ST's protocol, within 1e-5 of the largest;
    for the student's scores, within 1 of 255. out: a .jsonl file to which each answer is appended; answers in it for the same
    model and images (or the first of them) are not asked for again. limit: stop after so many new images; the rest can follow
    later. Cycles are the board's; only a virtual board counts instructions, exactly. Raises LinkError if the board has another
    model.
    """
    check_model(board, model)
    x, y = np.asarray(x), np.asarray(y).reshape(-1).astype(np.int64)
    key = _key(board, x, y)
    kept = Answers(out, {**key, "n": len(x), "seed": seed, "versions": versions(), "about": told()}, key, len(x), board.n_outputs,
                   first=lambda n: sha256_arrays(x[:n], y[:n]))
    rows = kept.rows
    waiting = [i for i in range(len(x)) if i not in rows][:limit]
    if waiting:
        kept.begin()
    counter = _counter(board)
    progress = Progress(len(waiting), "board", quiet=quiet)

    def on_answer(position, raw, cycles, seconds):
        i = waiting[position]
        ran = counter is not None and bool(counter.instructions)
        kept.add({"i": i, "raw": raw.tolist(), "cycles": int(cycles), "seconds": round(float(seconds), 6),
                  "instructions": counter.instructions[-1] if ran else None, "stalls": counter.stalls if ran else None})
        right = sum(int(np.argmax(r["raw"]) == y[j]) for j, r in rows.items()) if not quiet and position % 16 == 0 else 0
        progress.advance(1, f"{100 * right / len(rows):.1f} % right" if right else "")

    answers = board.infer(x[waiting], on_answer=on_answer) if waiting else None
    progress.close()
    kept.finish()
    done = sorted(rows)
    result = summarise(x[done], y[done], [rows[i] for i in done], board, model, classes)
    return {**result, "repeats": answers.repeats if answers else 0, "reconnects": board.reconnects,
            "resumed": len(done) - len(waiting), "images_sha256": key["images"],
            "results": None if out is None else str(out), "seed": seed, "versions": versions()}


def check_model(board, model):
    """Raise LinkError if the board has another model than `model` (None: no check). The plan does not matter: all plans of a
    model give the same bytes. A board that does not tell its model is accepted. ST's protocol tells only the planned model, so
    there a model without plan is accepted.
    """
    if model is None or board.sha256 in (None, model.sha256):
        return
    plain = plain_sha256(model.graph)
    if plain == (model.sha256 if board.protocol == "stm" else board.plain_sha256):
        return
    raise LinkError(f"the board holds a model with SHA-256 {board.sha256[:12]}...; {model.name!r} has {model.sha256[:12]}...",
                    "the .tvq in the folder of the firmware, or the one it was built from")


def _key(board, x, y):
    """What must be the same for kept answers to count."""
    times = behind_times(board)
    return {"images": sha256_arrays(x, y), "model": board.info.sha256 if board.info else None, "protocol": board.protocol,
            "flash_model": times["flash_model"], "bank": times["bank"], "image": image_sha256(board)}


def image_sha256(board: Any):
    """The SHA-256 of the flash of a virtual Board, on which its times depend; None for a real board."""
    machine = getattr(board.link, "machine", None)
    if machine is None:
        return None
    digest = hashlib.sha256((machine.elf.board_text or "").encode())
    for segment in machine.elf.segments:
        digest.update(struct.pack("<QQ", segment.load, len(segment.data)) + segment.data)
    return digest.hexdigest()


def behind_times(board: Any):
    """{"ms_error", "flash_model", "bank"}: what a Board's times rest on. The error in per cent, None if unknown; the flash model,
    "calibrated" or "none", and the option byte on which its times depend, "dual" or "single". A real board measures: 0, None, None.
    """
    machine = getattr(board.link, "machine", None)
    model = machine and machine.flash_model
    return {"ms_error": 0.0 if machine is None else machine.error_percent,
            "flash_model": None if machine is None else "calibrated" if model else "none",
            "bank": ("dual" if model.two_banks else "single") if model else None}


def _counter(board):
    machine = getattr(board.link, "machine", None)
    if machine is None:
        return None
    from tinyvgg.board.virtual.inferences import ENTRY, Inferences
    return Inferences(machine) if ENTRY in machine.elf.symbols else None


def summarise(x: Images, y: Labels, rows, board: Any, model, classes):
    """Return {"n", "accuracy", "interval", "agreement", times, "per_class", "confusion"} of answers `rows` to images x."""
    from tinyvgg.report.interval import wilson
    from tinyvgg.train.evaluate import _per_class
    if not rows:
        raise OptionError("there is no image to classify; expected at least one")
    raw = np.array([r["raw"] for r in rows])
    predicted, n_classes = board.labels_of(raw), board.n_classes
    right = int((predicted == y).sum())
    confusion = np.zeros((n_classes, n_classes), np.int64)
    np.add.at(confusion, (y, predicted), 1)
    names = classes if classes is not None and len(classes) == n_classes else tuple(map(str, range(n_classes)))
    agreement, wrong = (None, []) if model is None else agreement_with(model, x, raw, board)
    info = {"model": board.info.model, "sha256": board.info.sha256} if board.info else {"model": None, "sha256": None}
    return {"n": len(y), "accuracy": right / len(y), "interval": list(wilson(right, len(y))), "agreement": agreement,
            "different": wrong[:20], **times(rows, board), "per_class": _per_class(confusion, names),
            "confusion": confusion.tolist(), "protocol": board.protocol, "port": board.link.url, **info}


def times(rows, board: Any):
    """Means for an image: ms of the inference with its error, instructions, cycles, ms of everything else (the wire).

    Cycles are a real board's, or a virtual board's at zero wait states; a virtual board's ms include the flash model.
    """
    cycles = [r["cycles"] for r in rows if r["cycles"]]
    base = [r["cycles"] - (r.get("stalls") or 0) for r in rows if r["cycles"]]
    instructions = [r["instructions"] for r in rows if r.get("instructions")]
    ms = 1000 * float(np.mean(cycles)) / board.info.clock_hz if cycles and board.info else None
    total = 1000 * float(np.mean([r["seconds"] for r in rows]))
    return {"instructions_per_image": float(np.mean(instructions)) if instructions else None,
            "cycles_per_image": float(np.mean(base)) if base else None, "ms_per_image": ms, **behind_times(board),
            "wire_ms_per_image": None if ms is None else max(total - ms, 0.0), "total_ms_per_image": total}


def agreement_with(model, x: Images, raw, board: Any):
    """Return (share of images with the same answer as the simulation's, indices of the others)."""
    integer = hasattr(model, "integer_logits")
    if board.protocol == "student":
        expected = softmax(model.logits(x).astype(np.float64))[:, -raw.shape[1]:]
        same = (np.abs(np.floor(255 * expected) - raw) <= 1).all(axis=1)
    elif integer and board.protocol == "tinyvgg":
        same = (model.integer_logits(x) == raw).all(axis=1)
    else:
        expected = model.predict(x) if board.protocol == "stm" else model.outputs(x)
        same = np.abs(expected - raw).max(axis=1) <= FLOAT_TOLERANCE * np.abs(expected).max(axis=1)
    return float(same.mean()), np.flatnonzero(~same).tolist()


def model_beside(port, model=None):
    """Return the model to compare with: `model` (a .tvq), else the .tvq next to the ELF of a virtual: port, else None."""
    from tinyvgg.quant.tvq import load_tvq
    if model is not None:
        if Path(model).suffix != ".tvq":
            raise FormatError(f"{model} is not a .tvq, the model as a board computes it",
                              "the .tvq that firmware build wrote next to the firmware")
        return load_tvq(model)
    if port.startswith("virtual:"):
        beside = Path(port.removeprefix("virtual:")).with_suffix(".tvq")
        return load_tvq(beside) if beside.exists() else None
    return None


def profile_board(board: Any, x: Images):
    """Classify x (N, H, W, C) and return the cycles and ms of each layer (means), and how much of stack and arena was used.
    `cycles` are a real board's, or a virtual board's at zero wait states; a virtual board's `ms` include the flash model.
    """
    if board.protocol == "student":
        raise OptionError("the student protocol keeps no profile", "a tinyvgg firmware")
    total, names, counter, instructions, stalls = None, [], _counter(board), [], []
    for image in x:
        answers = board.infer(image[None])
        layers = board.profile()
        names = [name for name, _ in layers]
        cycles = np.array([int(answers.cycles[0]), *(c for _, c in layers)], np.float64)
        total = cycles if total is None else total + cycles
        known = counter is not None and len(counter.layers) == len(names) - 1
        if known:
            instructions.append([None, *counter.layers])
        stalls.append([counter.stalls, 0, *counter.layer_stalls] if known else [0] * (len(names) + 1))
    if not names:
        raise OptionError("the board's firmware keeps no profile", "tinyvgg firmware build MODEL")
    mean, clock = total / len(x), board.info.clock_hz
    base = mean - np.mean(stalls, axis=0)
    return {"n": len(x), "cycles_per_image": float(base[0]), "ms_per_image": 1000 * float(mean[0]) / clock,
            **behind_times(board), "clock_hz": clock,
            "modelled": getattr(board.link, "machine", None) is not None, "usage": usage_of(board), "model": board.info.model,
            "layers": [{"layer": n, "cycles": float(c), "ms": 1000 * float(m) / clock, "instructions": k}
                       for n, c, m, k in zip(names, base[1:], mean[1:], _means(instructions, len(names)), strict=True)]}


def usage_of(board):
    """A Board's report of its memory in use, as plain data."""
    usage = board.usage()
    return usage if isinstance(usage, dict) else vars(usage)


def profile_model(elf, x: Images, sha256):
    """Return {flash model: profile of the firmware `elf` on the virtual board}, to compare with a real board's. Raises LinkError
    unless the firmware has the model `sha256`.
    """
    from tinyvgg.board.classifier import Board
    found = {}
    for name in ("calibrated", "none"):
        with Board(f"virtual:{elf}", sha256=sha256, flash_model=name) as board:
            found[name] = profile_board(board, x)
    return found


def _means(rows, count):
    """Mean of each column, None where there is none (the image's conversion is counted with the first layer)."""
    return [float(np.mean(column)) if column and None not in column else None
            for column in (zip(*rows, strict=True) if rows else [()] * count)]
