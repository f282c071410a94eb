"""The virtual board held against silicon: firmware of MLPerf Tiny's submitters, modelled beside measured, fitted and kept out.

    git clone https://github.com/mlcommons/tiny_results_v1.1 DIR/tiny_results_v1.1      # and v1.2, v0.5, mlcommons/tiny, eembc/energyrunner
    python benchmarks/silicon.py DIR --json benchmarks/results/silicon.json

Each image for the NUCLEO-L4R5ZI runs on the lenient virtual board, is asked for inferences as the benchmark's runner does, and its own
timestamps give the time. The constants of firmware/families/stm32l4/accelerator.toml are fitted anew on image classification and
anomaly detection; keyword spotting and visual wake words are kept out. `--samples N` has the reference image (from the history of
mlcommons/tiny) classify N of the benchmark's own CIFAR-10 samples (from the history of eembc/energyrunner). Nothing is copied from there.
"""
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from common import command_line, option_parser, write_result
from scipy.optimize import least_squares

from tinyvgg.board.virtual.flash import BINS, accelerator
from tinyvgg.board.virtual.machine import Machine
from tinyvgg.data import mlperf_ic
from tinyvgg.report.tables import table

CLOCK = 120_000_000
WAITS = 5
FITTED = ("ic", "ad")
INPUT_BYTES = {"ic": 3072, "kws": 490, "ad": 2560, "vww": 0}     # visual wake words keep the image of zeros: 27,648 bytes are slow
ST, BOSCH = "closed/STMicroelectronics", "closed/bosch"
_ST_NAMES = {"ic": ("image_classification", "IC01"), "kws": ("keyword_spotting", "KWS01"), "vww": ("visual_wake_words", "VWW01"),
             "ad": ("anomaly_detection", "AD01")}
REFERENCE = "benchmark/reference_submissions/image_classification/BUILD/NUCLEO_L4R5ZI/GCC_ARM/image_classification.bin"
REFERENCE_COMMIT = "bbc1df9"


def images():
    """Rows {"submitter", "round", "task", "image", "results", "system"} of the firmware whose time is known; paths in a checkout."""
    found = []

    def add(submitter, round_, task, place, image):
        owner = {"ST": ST, "Bosch": BOSCH}[submitter]
        found.append({"submitter": submitter, "round": round_, "task": task, "results": f"{owner}/results/{place}/{task}",
                      "image": f"{owner}/code/{place}/{image}", "system": f"{owner}/systems/{place}.json"})
    for task, (folder, name) in _ST_NAMES.items():
        add("ST", "1.2", task, "NUCLEO_L4R5ZI", f"{folder}/Binaries/{name}-Performance.bin")
    for task in _ST_NAMES:
        add("Bosch", "1.2", task, "NUCLEO_L4R5ZI_int8", f"{task}/l4r5_{task}.bin")
        add("Bosch", "1.1", task, "NUCLEO_L4R5ZI", f"{task}/Release/l4r5_{task}.bin")
    add("Bosch", "1.2, weights in RAM", "ad", "NUCLEO_L4R5ZI_int8_max_performance", "ad/l4r5_ad.bin")
    return found


def checkout(folder, name, owner="mlcommons"):
    """The checkout of a repository below `folder`, by its name or owner-name."""
    for path in (folder / name, folder / f"{owner}-{name}", folder / f"{owner}+{name}"):
        if path.is_dir():
            return path
    raise SystemExit(f"{folder} has no {name}: git clone https://github.com/{owner}/{name} {folder / name}")


def measured_ms(path):
    """Milliseconds of an inference on silicon: of the median throughput that the runner printed."""
    text = (path / "performance" / "results.txt").read_text(encoding="utf-8", errors="replace")
    return 1000 / float(re.search(r"Median throughput is\s+([\d.]+) inf", text).group(1))


def one_bank(path):
    """Whether a submission says that its flash was set to one bank."""
    return path.is_file() and "single bank" in path.read_text(encoding="utf-8", errors="replace").lower()


class Runner:
    """The benchmark's runner: commands to a Machine, its answers."""

    def __init__(self, path, *, two_banks=True, flash_model="calibrated"):
        self.machine = Machine(path, board="nucleo-l4r5zi", two_banks=two_banks, flash_model=flash_model)
        self.ask("", 5)

    def ask(self, command, seconds=2.0):
        """Send a command (with its %) and return what came up to m-ready; simulated `seconds` at most."""
        machine, answer = self.machine, b""
        machine.send(command.encode())
        end = machine.seconds + seconds
        while b"m-ready" not in answer:
            reason = machine.run(0.02)
            answer += machine.receive()
            if reason == "fault" or machine.seconds > end:
                raise SystemExit(f"{machine.elf.path}: {command!r} gave {answer!r}, {machine.fault or 'and no end'}")
        return answer.decode("ascii", "replace")

    def load(self, data):
        """Send an input: db load, then hexadecimal digits."""
        self.ask(f"db load {len(data)}%")
        for i in range(0, len(data), 32):
            self.ask(f"db {data[i:i + 32].hex()}%")

    def infer(self, n, warm=1):
        """Run n inferences after some to warm up; return (microseconds of the n by the firmware's own clock, results).

        An inference may work where its input lies: results are of the input for one inference without others before it.
        """
        answer = self.ask(f"infer {n} {warm}%", 60)
        first, last = (int(t) for t in re.findall(r"m-lap-us-(\d+)", answer)[-2:])
        return last - first, [float(x) for x in re.search(r"m-results-\[([^]]*)\]", answer).group(1).split(",")]


def per_inference(after, before, n):
    """Counts of one of n inferences, from those at their ends."""
    return {key: [(a - b) / n for a, b in zip(after[key], before[key], strict=True)] if isinstance(after[key], list)
            else (after[key] - before[key]) / n for key in after}


def measure(path, task, two_banks, n=2):
    """Return {"modelled_ms", "zero_wait_ms", "counts", ...} of an image: means of n inferences, between its looks at its timer."""
    start = time.process_time()
    runner = Runner(path, two_banks=two_banks)
    if INPUT_BYTES[task]:
        runner.load(np.random.default_rng(1).integers(0, 256, INPUT_BYTES[task], dtype=np.uint8).tobytes())
    machine, seen = runner.machine, []
    machine.peripherals.on_timer = lambda: seen.append({**machine.flash_model.counts, "cycles": machine.zero_wait_cycles,
                                                        "instructions": machine.instructions})
    us, _ = runner.infer(n)
    counts = per_inference(seen[-1], seen[-2], n)
    found = {"modelled_ms": us / (1000 * n), "zero_wait_ms": 1000 * counts["cycles"] / CLOCK, "counts": counts,
             "instructions": counts["instructions"], "flash_acr": hex(machine.flash_model.control), "two_banks": two_banks,
             "seconds": time.process_time() - start}
    machine.close()
    return found


# --- the fit --------------------------------------------------------------------------------------------------------------
def predicted_ms(row, constants):
    """Milliseconds of a row's counts with (prefetch, data of two banks, data of one bank), in cycles beyond the wait states."""
    c, (prefetch, two, one) = row["counts"], constants
    waits = np.maximum(WAITS + prefetch - np.arange(BINS), 0)
    waits[-1] = 0                                            # ran for 15 cycles or more
    cycles = (c["cycles"] - c["saved"] - (2 - accelerator("stm32l4")["refill"]) * c["jumps"]
              + float(waits @ (np.array(c["entries"]) + np.array(c["stream"]))) + (WAITS + prefetch) * c["far"]
              + (WAITS + (two if row["two_banks"] else one)) * c["data"])
    return 1000 * cycles / CLOCK


def fit(rows):
    """Constants that minimise the squared relative errors of the rows."""
    return least_squares(lambda x: [predicted_ms(r, x) / r["measured_ms"] - 1 for r in rows], [1.0, -1.0, 0.0]).x


def summary(rows):
    """Root mean square and largest of the errors in per cent."""
    errors = np.array([r["error"] for r in rows])
    return {"images": len(rows), "rms": float(np.sqrt(np.mean(errors ** 2))), "largest": float(np.abs(errors).max())}


# --- the reference --------------------------------------------------------------------------------------------------------
def from_history(repository, commit, path):
    """Bytes of a file in a repository's history."""
    done = subprocess.run(["git", "-C", str(repository), "show", f"{commit}:{path}"], capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(f"{repository} does not hold {commit}:{path}: a full clone does")
    return done.stdout


def reference_image(folder, scratch):
    """Write the reference firmware of image classification and return its path."""
    path = Path(scratch) / "reference.bin"
    path.write_bytes(from_history(checkout(folder, "tiny"), REFERENCE_COMMIT, REFERENCE))
    return path


def silicon_answers(folder):
    """{sample: results} that the reference's own run on silicon logged in round 0.5."""
    log = checkout(folder, "tiny_results_v0.5") / "closed/reference/results/Nucleo-L4R5ZI/ic/accuracy/log.txt"
    found, name = {}, None
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        named, said = re.search(r'Command "bload.*?([\w.]+\.bin)"', line), re.search(r"m-results-\[([^]]*)\]", line)
        name = named.group(1) if named else name
        if said and name:
            found[name] = [float(x) for x in said.group(1).split(",")]
    return found


def classify(folder, path, n, quiet):
    """The reference firmware's answers to N of the benchmark's 200 samples: {"right", "of", "as_silicon", ...}."""
    chosen = mlperf_ic.samples(checkout(folder, "energyrunner", "eembc"))[:n]
    runner, there = Runner(path, flash_model="none"), silicon_answers(folder)
    right = same = silicon_right = 0
    for i, (name, pixels, label) in enumerate(chosen):
        runner.load(pixels)
        scores = runner.infer(1, warm=0)[1]
        right += int(np.argmax(scores)) == label
        silicon_right += int(np.argmax(there[name])) == label
        same += scores == there[name]
        if not quiet and i % 20 == 19:
            print(f"{i + 1} samples, {right} right, {same} as on silicon to the last digit", flush=True)
    return {"right": right, "of": len(chosen), "as_silicon": same, "right_on_silicon": silicon_right,
            "name": runner.ask("name%").split("\r\n")[0]}


# --- all ------------------------------------------------------------------------------------------------------------------
def run(folder, quiet=False):
    """Measure every image; return (rows, {"constants", "fitted", "kept_out"})."""
    rows = []
    for row in images():
        place = checkout(folder, f"tiny_results_v{row['round'][:3]}")
        banks = not one_bank(place / row["system"])
        found = {**row, **measure(place / row["image"], row["task"], banks), "measured_ms": measured_ms(place / row["results"])}
        rows.append({**found, "fitted": row["task"] in FITTED})
        if not quiet:
            print(f"{row['submitter']} {row['round']} {row['task']}: {found['modelled_ms']:.2f} ms, "
                  f"measured {found['measured_ms']:.2f}", flush=True)
    for row in rows:
        row["error"] = 100 * (row["modelled_ms"] / row["measured_ms"] - 1)
        row["zero_wait_error"] = 100 * (row["zero_wait_ms"] / row["measured_ms"] - 1)
    constants = fit([r for r in rows if r["fitted"]])
    for row in rows:
        row["refitted_error"] = 100 * (predicted_ms(row, constants) / row["measured_ms"] - 1)
    names = ("prefetch", "data_two_banks", "data_one_bank")
    return rows, {"constants": accelerator("stm32l4")["beyond_wait_states"],
                  "fitted_anew": dict(zip(names, (round(float(c), 2) for c in constants), strict=True)),
                  "fitted": summary([r for r in rows if r["fitted"]]), "kept_out": summary([r for r in rows if not r["fitted"]])}


def text(rows, facts):
    """The table, and what it comes to."""
    lines = [[r["submitter"], r["round"], r["task"], "two" if r["two_banks"] else "one", "fitted" if r["fitted"] else "kept out",
              f"{r['measured_ms']:.2f}", f"{r['modelled_ms']:.2f}", f"{r['error']:+.1f}", f"{r['zero_wait_error']:+.1f}"] for r in rows]
    said = [table(["by", "round", "task", "banks", "", "measured ms", "modelled ms", "error %", "zero wait states %"], lines)]
    for name in ("fitted", "kept_out"):
        s = facts[name]
        said.append(f"{name.replace('_', ' ')}: {s['images']} images, rms error {s['rms']:.2f} %, largest {s['largest']:.2f} %")
    said.append(f"constants in use {facts['constants']}; fitted anew {facts['fitted_anew']}")
    return "\n".join(said)


def main():
    """Print the table; keep it with --json."""
    parser = option_parser(__doc__, quiet=bool)
    parser.add_argument("folder", metavar="DIR", type=Path, help="folder with the checkouts")
    parser.add_argument("--json", metavar="FILE", help="keep the table")
    parser.add_argument("--samples", type=int, default=0, metavar="N", help="samples for the reference image to classify (200)")
    parser.add_argument("--resume", action="store_true", help="take the rows that --json has, and run the samples alone")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        path = reference_image(arguments.folder, scratch)
        kept = json.loads(Path(arguments.json).read_text(encoding="utf-8")) if arguments.resume else None
        rows, facts = (kept["rows"], kept["facts"]) if kept else measured(arguments, path)
        if arguments.samples:
            facts["samples"] = found = classify(arguments.folder, path, arguments.samples, arguments.quiet)
            print(f"{found['name']}: {found['right']} of {found['of']} of the benchmark's samples right ({found['right_on_silicon']} on "
                  f"silicon); {found['as_silicon']} answers are those of silicon to the last digit")
            keep(arguments, rows, facts)
    return 0 if facts["kept_out"]["rms"] <= 3 and facts["kept_out"]["largest"] <= 6 else 1


def measured(arguments, path):
    """Rows and facts of every image, printed and kept; path: the reference image."""
    rows, facts = run(arguments.folder, arguments.quiet)
    place = checkout(arguments.folder, "tiny_results_v0.5") / "closed/reference/results/Nucleo-L4R5ZI/ic"
    facts["reference"] = reference = {**without_counts(measure(path, "ic", True)), "measured_ms": measured_ms(place)}
    print(text(rows, facts))
    print(f"the reference's later build: {reference['modelled_ms']:.1f} ms modelled; round 0.5, another build, measured "
          f"{reference['measured_ms']:.1f} ms", flush=True)
    keep(arguments, rows, facts)
    return rows, facts


def without_counts(row):
    """What a result file keeps of a row."""
    return {k: v for k, v in row.items() if k not in ("counts", "seconds")}


def keep(arguments, rows, facts):
    """Write the result file, if one was asked for."""
    again = command_line(__file__, arguments, words=["DIR"], json="benchmarks/results/silicon.json", samples=arguments.samples or None)
    write_result(arguments.json, again, rows=[without_counts(r) for r in rows], facts=facts)


if __name__ == "__main__":
    sys.exit(main())
