"""ST's unchanged stm_ai_runner against our firmware on the virtual board, over a pseudo-terminal: its outputs beside our protocol's.

    python benchmarks/interop/stm_runner.py --runner DIR --python VENV/bin/python [-n 100] [--elf FILE] [--record FILE.npz] [--out FILE.json]

DIR holds the folder `stm_ai_runner` (common/ of STMicroelectronics/stm32ai-modelzoo-services); VENV has protobuf 3.20, numpy below 2,
pyserial and tqdm. Without --elf, the demonstration firmware. --record keeps the bytes of both directions, for tests/board/golden/.
"""
import json
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np

from tinyvgg.board import Board
from tinyvgg.board.virtual.machine import Machine
from tinyvgg.board.virtual.serve import serve
from tinyvgg.firmware.build import HERE, build_demonstration, find_compiler
from tinyvgg.firmware.image import board_facts
from tinyvgg.report.record import versions, write_json

sys.path.append(str(Path(__file__).resolve().parents[1]))
from common import command_line, compilers, option_parser  # noqa: E402

FLASH, RAM = (".text", ".rodata"), (".bss", ".data")


def main(argv=None):
    parser = option_parser(__doc__, seed=0, out=Path)
    parser.add_argument("--runner", type=Path, required=True, metavar="DIR", help="folder that holds stm_ai_runner")
    parser.add_argument("--python", required=True, help="Python of an environment that has what it needs")
    parser.add_argument("--elf", help="an image of firmware build (default: the demonstration)")
    parser.add_argument("-n", type=int, default=100, help="images (default 100)")
    parser.add_argument("--record", type=Path, metavar="FILE.npz")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        result = compare(arguments, Path(folder))
    again = command_line(__file__, arguments, runner="DIR", python="VENV/bin/python", n=arguments.n)
    result |= {"command": again, "seed": arguments.seed, "versions": versions()}
    if arguments.out:
        write_json(arguments.out, result)
    print(json.dumps(result, indent=1))
    return 0 if result["connected"] and result["largest_difference"] < 1e-6 and result["same_classes"] == arguments.n else 1


def compare(arguments, folder):
    """Return plain data: what ST's runner saw, and how its outputs differ from the scores of our protocol."""
    elf = arguments.elf or build_demonstration(folder / "demonstration").elf
    with Board(f"virtual:{elf}") as board:
        images = np.random.default_rng(arguments.seed).integers(0, 256, (arguments.n, *board.input_shape), dtype=np.uint8)
        if arguments.record:                                         # few values, so that the file stays small
            images &= np.where(np.arange(images[0].size).reshape(images[0].shape) % 96 < 12, 0xC0, 0).astype(np.uint8)
        logits, scores = board.logits(images), board.scores(images)
    np.save(folder / "x.npy", images.astype(np.float32) / np.float32(255))
    seen, sent = run(elf, arguments, folder)
    result = json.loads(seen) if seen else {"connected": False}
    if result["connected"]:
        theirs = np.load(folder / "y.npy")
        ours = logits if arguments.elf is None else scores           # the demonstration ends in no softmax
        result |= {"n": arguments.n, "largest_difference": float(np.abs(theirs - ours).max()),
                   "same_classes": int((theirs.argmax(axis=1) == ours.argmax(axis=1)).sum())}
    if arguments.record:
        np.savez_compressed(arguments.record, bytes=np.frombuffer(b"".join(data for _, data in sent), np.uint8),
                            lengths=np.array([len(data) for _, data in sent], np.uint32), host=np.array([who == "host" for who, _ in sent]))
    return result | {"cost": {name: cost(name, folder) for name in compilers()}}


def run(elf, arguments, folder):
    """Serve the image and let the runner at it; return (its last line, [("host" or "board", bytes)])."""
    machine, sent, done = Machine(elf, halt_on_fault=False), [], threading.Event()
    for name, who in (("send", "host"), ("receive", "board")):
        setattr(machine, name, recorded(getattr(machine, name), who, sent))
    lines = []

    def ask(port):
        child = [arguments.python, str(Path(__file__).with_name("stm_runner_child.py")), str(arguments.runner), port,
                 str(folder / "x.npy"), str(folder / "y.npy"), str(min(arguments.n, 2))]
        lines.extend(subprocess.run(child, stdout=subprocess.PIPE, text=True, timeout=1200, check=False).stdout.splitlines())
        done.set()

    serve(machine, "pty", ready=lambda url: threading.Thread(target=ask, args=(url,), daemon=True).start(), stop=done.is_set)
    return lines[-1] if lines else None, sent


def recorded(method, who, sent):
    """The method of a Machine that keeps the bytes which pass, neighbours of one direction together."""
    def passing(*arguments, **options):
        answer = method(*arguments, **options)
        data = bytes(arguments[0] if who == "host" else answer)
        if data:
            if sent and sent[-1][0] == who:
                data = sent.pop()[1] + data
            sent.append((who, data))
        return answer
    return passing


def cost(compiler, folder):
    """Bytes of flash and RAM that firmware/common/tv_stm.c takes."""
    from elftools.elf.elffile import ELFFile
    facts, (_, command) = board_facts("stm32l4r9i-disco"), find_compiler(compiler)
    subprocess.run([*command, *getattr(facts, compiler), "-std=gnu99", "-O3", "-ffunction-sections", "-fdata-sections", "-fno-unwind-tables",
                    "-fno-asynchronous-unwind-tables", "-fomit-frame-pointer", *(["-g0", "-fno-sanitize=all"] if compiler == "zig" else []),
                    *([f"-I{HERE / 'include'}"] if compiler == "zig" else []), "-c", str(HERE / "common" / "tv_stm.c"), "-o",
                    str(folder / "stm.o")], check=True, cwd=folder)
    with open(folder / "stm.o", "rb") as file:
        sections = [(s.name, s["sh_size"]) for s in ELFFile(file).iter_sections()]
    return {what: sum(size for name, size in sections if name.startswith(kinds)) for what, kinds in (("flash", FLASH), ("ram", RAM))}


if __name__ == "__main__":
    sys.exit(main())
