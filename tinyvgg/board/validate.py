"""Validate a board: ST's metrics against the original model, and the first layer that differs from the simulation."""
import struct
import zlib

import numpy as np

from tinyvgg.board.evaluator import agreement_with
from tinyvgg.errors import DeviceError, OptionError
from tinyvgg.nn.head import apply_head

TRACE, CRCS = 0, 1                # functions of a network's firmware: firmware/network/network_app.c.in
_EPSILON = float(np.finfo(np.float32).eps)


def metrics(reference, board):
    """Return ST's validation metrics of outputs (N, K): the model's `reference` and the board's.

    rmse, mae, mean and std (ddof 1) of d = reference - board; l2r = ||d|| / (||board|| + eps);
    nse = 1 - sum d^2 / sum (m - mean m)^2; cos, the cosine similarity; acc, the share of rows with the same class ("X-cross"):
    the largest output or, for a single output, whether it is above 0.5.
    """
    m, c = np.asarray(reference, np.float64), np.asarray(board, np.float64)
    d, spread = m - c, ((m - m.mean()) ** 2).sum()
    norms = np.linalg.norm(m) * np.linalg.norm(c)
    return {"rmse": float(np.sqrt((d ** 2).mean())), "mae": float(np.abs(d).mean()),
            "l2r": float(np.linalg.norm(d) / (np.linalg.norm(c) + _EPSILON)), "mean": float(d.mean()),
            "std": float(d.std(ddof=1)) if d.size > 1 else 0.0,
            "nse": float(1 - (d ** 2).sum() / spread) if spread else 1.0, "cos": float((m * c).sum() / norms) if norms else 1.0,
            "acc": float((_class(m) == _class(c)).mean())}


def _class(outputs):
    """The class of outputs (N, K): the largest; of one probability whether it is above a half."""
    return outputs[:, 0] > 0.5 if outputs.shape[1] == 1 else outputs.argmax(axis=1)


def validate_board(board, x, *, reference=None, simulation=None):
    """Classify x (N, H, W, C) on the board; return {"metrics", "layers", "first_different", "n", "passed"}.

    reference: the original model (nn.Model), for the metrics of probabilities. simulation: the QuantizedModel that should be on
    the board; the bytes of each layer are compared for every image, by CRC-32. `first_different` is {"image", "layer"} or None.
    For floats only the logits are compared (CRCs of rounded floats say nothing). In ST's protocol the
    outputs are compared, not the layers; "layers" then has their times.
    """
    if board.protocol == "stm":
        return _validate_outputs(board, np.asarray(x), reference, simulation)
    if board.protocol == "student":
        raise OptionError("the student protocol answers with scores only", "a tinyvgg firmware")
    if reference is not None and not hasattr(reference, "ends_in_softmax"):
        raise OptionError(f"the reference {reference.name!r} is a compressed model; expected the network that it was made of",
                          "--reference light.h5; a .tvq is compared by --model")
    x = np.asarray(x)
    result = {"n": len(x), "metrics": None, "layers": [], "first_different": None, "model": board.info.model,
              "sha256": board.info.sha256}
    if simulation is not None and hasattr(simulation, "integer_logits"):
        result |= compare_layers(board, x, simulation)
    if reference is not None:
        expected = reference.predict(x)
        result["metrics"] = metrics(expected, apply_head(reference.head, board.outputs_of(board.infer(x).raw)))
    return {**result, "passed": result["first_different"] is None}


def _validate_outputs(board, x, reference, simulation):
    """The same in ST's protocol, which carries what the network answers and each layer's time."""
    answers = board.infer(x)
    times = board.profile()
    ms = 1000 * answers.cycles / board.info.clock_hz
    result = {"n": len(x), "metrics": None, "first_different": None, "model": board.info.model, "sha256": board.info.sha256,
              "protocol": "stm", "signature": board.info.signature, "ms_per_image": float(ms.mean()) if len(x) else None,
              "layers": [{"layer": name, "cycles": cycles, "ms": 1000 * cycles / board.info.clock_hz} for name, cycles in times]}
    if simulation is not None:
        share, different = agreement_with(simulation, x, answers.raw, board)
        result |= {"agreement": share}
        if different:
            result["first_different"] = {"image": different[0], "layer": board.info.output.name}
    if reference is not None:
        result["metrics"] = metrics(reference.predict(x), answers.raw)
    return {**result, "passed": result["first_different"] is None}


def compare_layers(board, x, simulation):
    """Compare the CRC-32 of every layer's result of every image with the simulation's."""
    names = [name for name, _ in board.profile()]
    board.call(TRACE, b"\1")
    seen, first = {}, None
    try:
        for i, image in enumerate(x):
            board.infer(image[None])
            trace = simulation.trace(image[None])
            for name, crc in zip(names[1:], _crcs(board, len(names))[1:], strict=True):
                op = next((n for n in trace if _ascii(n) == name), None)
                if op is None:
                    raise DeviceError(f"the board has a layer {name!r} that {simulation.name!r} has not",
                                      "the .tvq beside the image")
                same = zlib.crc32(np.ascontiguousarray(trace[op][0]).tobytes()) == crc or trace[op].dtype.kind == "f"
                seen[name] = seen.get(name, 0) + same
                if not same and first is None:
                    first = {"image": i, "layer": name}
    finally:
        board.call(TRACE, b"\0")
    return {"layers": [{"layer": name, "same": count, "of": len(x)} for name, count in seen.items()], "first_different": first}


def _crcs(board, count):
    found = []
    while len(found) < count:
        data, _ = board.call(CRCS, struct.pack("<H", len(found)))
        if not data:
            raise DeviceError("the board's firmware keeps no checksums of its layers", "tinyvgg firmware build MODEL")
        found += struct.unpack(f"<{len(data) // 4}I", data)
    return found


def _ascii(name):
    """A layer's name as the firmware holds it."""
    return "".join(c if " " <= c <= "~" and c not in '"\\?' else "_" for c in name)[:60]
