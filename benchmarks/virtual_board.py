"""Speed of the virtual board: counted instructions a second, echo exchanges over a clean and a faulty line.

    python benchmarks/virtual_board.py [--json] [--echoes 10000]

Times are of this process's CPU, so that other work on the machine counts little. Every echo is compared with what was sent.
"""
import json
import tempfile
import time
from pathlib import Path

import numpy as np
from common import option_parser

from tinyvgg.board import Board, FaultyLink, demonstration, open_link
from tinyvgg.board.virtual.machine import Machine
from tinyvgg.firmware.build import build_demonstration


def counted(elf, images=60, repeat=3):
    """Return (million counted instructions a second, the same without the counting hook) for inferences over the UART."""
    x = np.random.default_rng(0).integers(0, 256, (images, 32, 32, 3), dtype=np.uint8)
    with Board(f"virtual:{elf}") as board:
        assert (board.infer(x[:2]).raw == demonstration.logits(x[:2])).all()
        machine, best = board.link.machine, 0.0
        for _ in range(repeat):
            before, start = machine.instructions, time.process_time()
            board.infer(x)
            best = max(best, (machine.instructions - before) / (time.process_time() - start) / 1e6)
    return best


def hook_alone(elf, rounds=60, repeat=3):
    """Return (counted, plain) million instructions a second of the inference function alone, with and without the hook."""
    from unicorn.unicorn_py3.unicorn import uclib
    machine = Machine(elf)
    machine.run(0.1)
    symbols, rates = machine.elf.symbols, []
    image = np.random.default_rng(0).integers(0, 256, 3072, dtype=np.uint8)
    output = symbols["image"].address + image.size              # the room for floats
    machine.write(symbols["image"].address, image.tobytes())
    before = machine.instructions
    machine.call("tv_app_infer", 0, output)
    work = machine.instructions - before
    assert np.array_equal(np.frombuffer(machine.read(output, 40), "<i4"), demonstration.logits(image.reshape(1, 32, 32, 3))[0])
    for hook in (True, False):
        if not hook:
            uclib.uc_hook_del(machine.engine._uch, machine.count_hook)
            machine.engine.ctl_flush_tb()
        best = float("inf")
        for _ in range(repeat):
            start = time.process_time()
            for _ in range(rounds):
                machine.call("tv_app_infer", 0, output)
            best = min(best, time.process_time() - start)
        rates.append(work * rounds / best / 1e6)
    return rates


def echoes(elf, n, faulty):
    """Return a row for n echo exchanges of 1 to 16 bytes: exchanges a second, repetitions, wrong answers (0)."""
    random, link = np.random.default_rng(1), open_link(f"virtual:{elf}")
    link = FaultyLink(link, 1) if faulty else link
    link.on = False
    board = Board(link=link, attempts=1000)
    link.on = True
    wrong, simulated, start = 0, link.now(), time.process_time()
    for _ in range(n):
        data = random.bytes(int(random.integers(1, 17)))
        wrong += board.echo(data) != data
    seconds = time.process_time() - start
    line = "1 % dropped, flipped, doubled, delayed each" if faulty else "clean line"
    return {"work": f"echo, {line}", "exchanges": n, "wrong": wrong,
            "repeats": board._session.repeats, "per_second": n / seconds, "simulated_seconds": link.now() - simulated,
            **({"faults": link.counts} if faulty else {})}


def main():
    """Print a table, or rows as JSON."""
    arguments = option_parser(__doc__, json=bool, echoes=10_000).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        elf = build_demonstration(Path(folder) / "demonstration").elf
        whole = counted(elf)
        with_hook, without = hook_alone(elf)
        rows = [{"work": "inference over the UART, protocol and host included", "million_instructions_per_second": whole},
                {"work": "inference, counted", "million_instructions_per_second": with_hook, "without_hook": without},
                echoes(elf, arguments.echoes, False), echoes(elf, arguments.echoes, True)]
    if arguments.json:
        print(json.dumps(rows))
        return
    for row in rows:
        print(row["work"])
        for key, value in row.items():
            if key != "work":
                print(f"    {key:<34}{value:,.1f}" if isinstance(value, float) else f"    {key:<34}{value}")


if __name__ == "__main__":
    main()
