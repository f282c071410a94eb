"""An attack by queries over the virtual board's line, in one go and killed twice: the same result, and the minutes that it takes.

    python benchmarks/attack_board.py [--model small] [--data cifar10] [-n 100] [--queries 500] [--eps 8/255] [--attack rays]
        [--work DIR] [--out FILE.json]

The network becomes integers of 8 bits and firmware in --work. Then `tinyvgg attack` runs over its line in a process of its own: once to its
end, and once more, killed (SIGKILL) when a third and when two thirds of the answers are kept. --model small: see small_network.py, images of
16 x 16; an entry of the zoo goes as well, on whole images. The file holds what the command says of the result, "same" for each array that
both have, "asked_twice": answers that stand twice in the killed run's file, "killed_at", "minutes": of the board's clock, and
"wall_minutes" and "cpu_minutes": of this machine, of the run in one go.
"""
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from common import command_line, option_parser, write_result
from small_network import opened

from tinyvgg import attacks
from tinyvgg.cli import main as tinyvgg
from tinyvgg.quant.model import quantize
from tinyvgg.report.record import kept_rows, sha256_arrays, sha256_file

CALIBRATION = 1000
COMPARED = ("x_adv", "x_adv_u8", "pred_clean", "pred_adv", "success", "queries", "steps_used", "loss")
TOLD = ("n", "clean_accuracy", "robust_accuracy", "robust_accuracy_interval", "success_rate", "queries", "flags", "success_by_queries", "line")


def main():
    parser = option_parser(__doc__, model="small", data="cifar10", n=100, queries=500, eps="8/255", work=Path("runs/attack_board"), out=Path)
    parser.add_argument("--attack", default="rays", choices=("rays", "square"))
    a = parser.parse_args()
    elf, told = firmware(a)
    line = [sys.executable, "-m", "tinyvgg", "attack", a.attack, f"virtual:{elf}", "--data", ",".join(str(a.work / f"{name}.npy") for name in "xyxy"),
            "-n", str(a.n), "--precision", "labels", "--eps", a.eps, "--queries", str(a.queries), "--json", "--quiet"]
    whole, spent = in_one_go(line, a.work / "whole")
    answers = len(answers_of(a.work / "whole"))
    kills = [killed(line, a.work / "killed", answers * part // 3) for part in (1, 2)]
    in_one_go(line, a.work / "killed")
    again = command_line(__file__, a, "model", "data", "n", "queries", "eps", "attack")
    result = {**told, "seed": 0, "attack": a.attack, **{key: whole[key] for key in TOLD}, "answers": answers, "killed_at": kills,
              "minutes": whole["line"]["minutes"], **spent, **compared(a.work / "whole", a.work / "killed")}
    write_result(a.out, again, **result)
    print(json.dumps({"command": again, **result}, indent=1))
    return 0 if all(result["same"].values()) and not result["asked_twice"] else 1


def firmware(a):
    """Write test images, the network's integers and its firmware; return the path of the image, and what tells them."""
    a.work.mkdir(parents=True, exist_ok=True)
    dataset, model = opened(a.model, a.data)
    x, y = (np.asarray(part) for part in dataset.part("test", a.n))
    np.save(a.work / "x.npy", x), np.save(a.work / "y.npy", y)
    integers, path = quantize(model, np.asarray(dataset.part("train", CALIBRATION)[0])), a.work / f"{a.model}.tvq"
    integers.save(path)
    if tinyvgg(["firmware", "build", str(path), "--out", str(a.work / "build"), "--quiet"]):
        raise SystemExit("no firmware was built")
    elf = a.work / "build" / f"{a.model}.elf"
    return elf, {"model": f"{a.model}, int8", "model_sha256": sha256_file(path), "firmware_sha256": sha256_file(elf), "data": a.data,
                 "data_sha256": sha256_arrays(x, y)}


def in_one_go(line, out):
    """Run the command to its end; return what it prints, and its minutes."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([*line, "--out", str(out)], stdout=subprocess.PIPE, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return json.loads(done.stdout), {"wall_minutes": (time.perf_counter() - start) / 60, "cpu_minutes": cpu / 60}


def killed(line, out, answers):
    """Run the command and kill it when so many answers are kept; return how many there were."""
    process = subprocess.Popen([*line, "--out", str(out)], stdout=subprocess.DEVNULL)
    while len(answers_of(out)) < answers:
        if process.poll() is not None:
            raise SystemExit(f"it ended before it was killed, at {len(answers_of(out))} answers")
        time.sleep(0.5)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    return len(answers_of(out))


def answers_of(out):
    """The rows of the answers that a run has kept."""
    return kept_rows(out / "answers.jsonl")[1:]


def compared(one, other):
    """Which arrays of both results are the same, whether their answers are, and how many of the other's stand there twice."""
    results = [attacks.load(path / "attack.npz") for path in (one, other)]
    same = {name: bool(np.array_equal(getattr(results[0], name), getattr(results[1], name))) for name in COMPARED}
    rows, again = ({row["q"]: row["a"] for row in answers_of(path)} for path in (one, other))
    return {"same": {**same, "answers": rows == again}, "asked_twice": len(answers_of(other)) - len(again)}


if __name__ == "__main__":
    sys.exit(main())
