"""Damaged files opened in a process of its own, which must come back with a model or a clean error: seconds and memory are measured.

    rows = fuzz("module:open_it", "model.h5", 0, 100)       # module.open_it(path): whatever a reader does with the file

A reader may answer, or raise a TinyVGGError of one sentence. Everything else is a fault: another exception, a crash, silence.
"""
import importlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import warnings
from pathlib import Path

from tinyvgg import rng
from tinyvgg.errors import TinyVGGError
from tinyvgg.testing.mutations import mutated

PATIENCE = 120              # seconds of the clock without a word: far above any budget, for a busy machine
LONGEST_SENTENCE = 2000     # characters


def fuzz(reader, source, start, stop, *, ending=None, seed=0, folder=None):
    """Open mutations start..stop of the file `source` by `reader`, "module:function" -> rows {"i", "kind", "outcome", "seconds",
    "megabytes"}. A crash or a hang is a row too, and it goes on behind it. folder: the process' working folder."""
    rows = []
    while start < stop:
        rows += _watch([reader, str(source), ending or "".join(Path(source).suffixes[-1:]), str(seed), str(start), str(stop)], start,
                       folder)
        start = rows[-1]["i"] + 1
    return rows


def faults_of(rows, seconds, megabytes):
    """The rows that are faults, or took more than `seconds` of CPU or `megabytes` of memory."""
    return [r for r in rows if r["outcome"].startswith("FAULT") or r["seconds"] > seconds or r["megabytes"] > megabytes]


def _watch(words, start, folder):
    process = subprocess.Popen([sys.executable, "-m", "tinyvgg.testing.fuzzer", *words], cwd=folder, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True, errors="replace")
    lines, errors = queue.Queue(), []
    readers = [threading.Thread(target=lambda: [lines.put(line) for line in process.stdout] + [lines.put(None)]),
               threading.Thread(target=lambda: errors.extend(process.stderr))]
    for thread in readers:
        thread.start()
    rows, current = [], {"i": start, "kind": "start"}
    while True:
        try:
            line = lines.get(timeout=PATIENCE)
        except queue.Empty:
            process.kill()
            rows.append({**current, "outcome": "FAULT hang", "seconds": PATIENCE, "megabytes": 0})
            break
        if line is None:
            process.wait()
            if process.returncode:
                rows.append({**current, "outcome": f"FAULT exit {process.returncode} {''.join(errors)[-300:]}", "seconds": 0,
                             "megabytes": 0})
            break
        current = json.loads(line)
        if "outcome" in current:
            rows.append(current)
    for thread in readers:
        thread.join()
    return rows


def outcome_of(reader, path):
    """"answer", the name of our error, or "FAULT" and what else came."""
    try:
        reader(path)
    except TinyVGGError as error:
        if not error.problem or "\n" in error.problem or len(error.problem) > LONGEST_SENTENCE:
            return f"FAULT the message {error.problem[:200]!r}"
        return type(error).__name__
    except (Exception, SystemExit) as error:
        return f"FAULT {type(error).__name__}: {str(error)[:200]}"
    return "answer"


def main():
    """Open mutations START..STOP and print a JSON line for each; a line without "outcome" says what is being opened."""
    name, source, ending, seed, start, stop = sys.argv[1:]
    warnings.simplefilter("ignore")
    module, function = name.split(":")
    reader, source = getattr(importlib.import_module(module), function), Path(source)
    data, told = source.read_bytes(), os.fdopen(os.dup(1), "w")     # a reader may print what it likes
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    with tempfile.TemporaryDirectory(prefix="tinyvgg-fuzz-") as folder:
        target = Path(folder) / f"m{ending}"
        for i in range(int(start), int(stop)):
            kind, changed = mutated(data, ending, rng.generator(int(seed), "mutation", source.name, i))
            target.write_bytes(changed)
            del changed
            print(json.dumps({"i": i, "kind": kind}), file=told, flush=True)
            begin = _seconds()
            outcome = outcome_of(reader, target)
            print(json.dumps({"i": i, "kind": kind, "outcome": outcome, "seconds": _seconds() - begin, "megabytes": peak_megabytes()}),
                  file=told, flush=True)


def _seconds():
    """Of this process and of those that it waited for: the machine may be busy."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def peak_megabytes():
    """The most memory that this process held. getrusage would count that of the process which started it, too."""
    for line in Path("/proc/self/status").read_text().splitlines() if Path("/proc/self/status").exists() else ():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1000
    try:
        import resource
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    except ImportError:                                             # Windows
        return 0.0


if __name__ == "__main__":
    main()
