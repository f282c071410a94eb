"""TensorFlow Lite's files beside TensorFlow Lite: random networks read, and ours written, in an environment that has TensorFlow.

    python benchmarks/interop/tflite.py                            60 networks; the environment is made, about 1.5 GB, if it is not there
    python benchmarks/interop/tflite.py --venvs FOLDER --count 10 --vectors light_int8.tflite,light_int8_vectors.npz --json

Each network is drawn, converted (float32, float16 weights, int8 by channel and by tensor, with inputs of int8, uint8 and float32) and
run there by BUILTIN_REF without delegates; here the file is opened and answers the same images. Floats must lie within 1e-5 of the
largest value, integers must be equal byte for byte, as C too for every tenth. Then integer models of ours are written as .tflite and
run there, as `tinyvgg convert` writes them and with --logits 8: labels must be equal on 99.5 %, logits within 3 levels of 8 bits, and the
file must give TensorFlow Lite's bytes here. "8 bits alone" is what rounding our own logits to 8 bits leaves of the labels: where that is
less, no file with such logits can be right, so these rows are printed and do not fail the run. The rows are kept in
benchmarks/results/tflite.json; until the run ends, in FILE.rows.jsonl beside it, where the same command takes them up.
"""
import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path

import keras_venvs

HERE = Path(__file__).resolve().parent
sys.path[:] = [place for place in sys.path if Path(place).resolve() != HERE]      # this file is not the package tflite

import numpy as np  # noqa: E402

from tinyvgg import io, zoo  # noqa: E402
from tinyvgg.data import load_for  # noqa: E402
from tinyvgg.errors import NotYet, TinyVGGError  # noqa: E402
from tinyvgg.io.tflite.read import read as read_file  # noqa: E402
from tinyvgg.quant.model import QuantizedModel  # noqa: E402
from tinyvgg.quant.schemes import compress  # noqa: E402
from tinyvgg.report.record import KeptRows, sha256_file  # noqa: E402
from tinyvgg.report.tables import table  # noqa: E402
from tinyvgg.testing import assert_bit_exact  # noqa: E402

sys.path.append(str(HERE.parent))
from common import option_parser, say, write_result  # noqa: E402

CLOSE = 1e-5
LABELS, UNITS = 0.995, 3
READ_AGAIN = 200            # images that a file that was written answers here too
RESULTS = HERE.parent / "results" / "tflite.json"


def main():
    parser = option_parser(__doc__, json=bool)
    parser.add_argument("--venvs", type=Path, default=Path("runs/keras-venvs"), help="where environments lie (default runs/keras-venvs)")
    parser.add_argument("--count", type=int, default=60, help="networks to read (default 60)")
    parser.add_argument("--exports", default="light_cifar10,resnet8_cifar10,base_cifar10", help="networks of the zoo to write")
    parser.add_argument("--data", default="cifar10", help="whose images these are asked about (default cifar10)")
    parser.add_argument("-n", type=int, default=1000, help="test images for these (default 1000)")
    parser.add_argument("--folder", type=Path, help="keep, or take up, the networks that were drawn")
    parser.add_argument("--vectors", help="FILE.tflite,FILE.npz: another file and its recorded answers (xq, out_reference)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the rows are kept")
    arguments = parser.parse_args()
    python = keras_venvs.environment(arguments.venvs, "2")
    with tempfile.TemporaryDirectory() as place:
        folder = arguments.folder or Path(place)
        folder.mkdir(parents=True, exist_ok=True)
        if len(list(folder.glob("*.json"))) < arguments.count:
            child(python, "make", folder, str(arguments.count))
        kept, rows, written = KeptRows(f"{arguments.results}.rows.jsonl", {"data": arguments.data, "n": arguments.n}), [], []
        for path, with_c in [(folder / f"{k:03}.tflite", k % 10 == 3) for k in range(arguments.count)]:
            rows.append(said(kept.get({"file": path.name, "sha256": sha256_file(path)}, partial(read, path, with_c))))
        rows += [recorded(*map(Path, arguments.vectors.split(",")))] if arguments.vectors else []
        for name in arguments.exports.split(","):
            ours = Ours(name, arguments.data, arguments.n, folder / "ours")
            written += [said(kept.get({"file": name, "bits": bits}, partial(ours.written, python, bits))) for bits in (8, 16)]
    told = f" --vectors {','.join(Path(p).name for p in arguments.vectors.split(','))}" if arguments.vectors else ""
    write_result(arguments.results, f"python benchmarks/interop/tflite.py{told}", data=arguments.data, files=len(rows),
                 equal=sum(r["ok"] for r in rows), read=rows, written=written)
    Path(kept.out).unlink(missing_ok=True)
    report(rows, written, arguments.json)
    return 0 if all(r["ok"] for r in rows + [r for r in written if r["bits"] == 16]) else 1


def said(row):
    say(f"{row['file']}: {row['result']}")
    return row


def child(python, *words):
    subprocess.run([str(python), str(HERE / "tflite_child.py"), *map(str, words)], check=True, stderr=subprocess.DEVNULL)


def read(path, with_c=False):
    """One file of TensorFlow's: what it became, and how far its answers lie from the recorded ones."""
    told, vectors = json.loads(path.with_suffix(".json").read_text()), np.load(path.with_suffix(".npz"))
    row = {"kind": told["kind"], "layers": len(told["layers"])}
    try:
        model = io.load_model(path)
        return row | compared(model, vectors["x"], vectors["y"], with_c)
    except NotYet as error:
        return row | {"ok": False, "result": f"refused: {error.problem.split(': ', 1)[-1][:100]}"}
    except TinyVGGError as error:
        return row | {"ok": False, "result": f"{type(error).__name__}: {error.problem[:120]}"}


def recorded(path, vectors):
    vectors = np.load(vectors)
    return {"file": path.name, "kind": "recorded", "layers": 0} | compared(io.load_model(path), vectors["xq"], vectors["out_reference"])


def compared(model, x, y, with_c=False):
    y = y.reshape(len(y), -1)
    if not hasattr(model, "graph"):
        found = model.predict(x).reshape(y.shape)
        off = float(np.abs(found - y).max() / max(1.0, np.abs(y).max()))
        return {"ok": off <= CLOSE, "result": f"float, off by {off:.1e}"}
    found, wanted = model.scores(levels(model, x)).reshape(y.shape).astype(int), whole(model, y)
    if with_c:
        assert_bit_exact(model)
    different = int((found != wanted).sum())
    return {"ok": different == 0, "result": f"{different} of {y.size} bytes differ" + (", C equal" if with_c else "")}


def levels(model, x):
    """Inputs of any type as the levels 0..255 that the model takes."""
    if x.dtype == np.float32:
        image = model.graph.ops[0]
        return np.clip(np.rint(x / np.float32(image.scale)) + image.zero, 0, 255).astype(np.uint8).reshape(-1, *model.input_shape)
    return (x.astype(np.int16) + (128 if x.dtype == np.int8 else 0)).astype(np.uint8).reshape(-1, *model.input_shape)


def whole(model, y):
    """Answers of any type as levels 0..255."""
    if y.dtype == np.float32:
        last = model.graph.ops[-1]
        return np.rint(y / np.float32(last.scale)).astype(int) + last.zero
    return y.astype(int) + (128 if y.dtype == np.int8 else 0)


class Ours:
    """An integer model of the zoo as .tflite: how often TensorFlow Lite gives the same class, and how far its logits lie.

    The logits are compared, so the softmax is left out of the files. Units are levels of a file's logits of 8 bits; where they have 16,
    a 255th of the range of the logits.
    """

    def __init__(self, name, data, count, folder):
        self.name, self.data, self.count, self.folder = name, data, count, folder

    @cached_property
    def known(self):
        """(the integer model without its softmax, test images)"""
        model = zoo.load(self.name)
        dataset = load_for(model, self.data)
        (x, _), (calibration, _) = dataset.part("test", self.count), dataset.part("train", 200)
        graph = compress(model, "int8", calibration, calibration="minmax").graph
        return QuantizedModel(replace(graph, ops=tuple(op for op in graph.ops if not op.probabilities))), x

    def written(self, python, bits):
        """The row of a file with logits of so many bits."""
        (model, x), file = self.known, f"{self.name}_{bits}.tflite"
        self.folder.mkdir(exist_ok=True)
        io.save_model(model, self.folder / file, **({} if bits == 16 else {"logits": bits}))
        np.save(self.folder / f"{file}.x.npy", (x.astype(np.int16) - 128).astype(np.int8))
        child(python, "run", self.folder, file)
        return {"kind": f"written, {bits} bits", "layers": 0} | judged(model, x, self.folder / file, bits)


def judged(model, x, path, bits):
    (last,) = read_file(path).outputs
    ours, found = model.logits(x), np.load(f"{path}.npz")["y"].reshape(len(x), -1).astype(int)
    theirs, again = (found - last.zero) * last.scale, io.load_model(path).integer_logits(x[:READ_AGAIN]).astype(int)
    equal = bool((again - (128 if bits == 8 else 0) == found[:READ_AGAIN]).all())
    same = float((ours.argmax(axis=1) == theirs.argmax(axis=1)).mean())
    unit = last.scale if bits == 8 else float(np.ptp(ours)) / 255
    units = np.abs(ours - theirs) / unit
    row = {"ok": bool(same >= LABELS and units.max() <= UNITS and equal), "n": len(x), "labels": same, "units": float(units.max()),
             "mean_units": float(units.mean()), "read_again": equal}
    alone = ""
    if bits == 8:
        row["labels_of_8_bits_alone"] = float((np.rint(ours / last.scale).argmax(axis=1) == ours.argmax(axis=1)).mean())
        alone = f" (8 bits alone: {100 * row['labels_of_8_bits_alone']:.2f} %)"
    return row | {"result": f"labels equal on {100 * same:.2f} % of {len(x)}{alone}, logits within {units.max():.2f} units "
                  f"({units.mean():.2f} on average), {'the same' if equal else 'OTHER'} bytes here"}


def report(rows, written, as_json):
    if as_json:
        print(json.dumps({"rows": rows + written}))
        return
    print(table(["file", "kind", "layers", "result"], [[r["file"], r["kind"], r["layers"], r["result"]] for r in rows + written]))
    of = {bits: [r["ok"] for r in written if r["bits"] == bits] for bits in (16, 8)}
    print(f"{sum(r['ok'] for r in rows)} of {len(rows)} files read are equal, {sum(of[16])} of {len(of[16])} written; "
          f"with --logits 8 {sum(of[8])} of {len(of[8])}")


if __name__ == "__main__":
    sys.exit(main())
