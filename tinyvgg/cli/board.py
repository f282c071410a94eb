"""Talk to a board, real or virtual: accuracy, cycles of each layer, the first layer that differs; or serve a virtual one

    tinyvgg board demo                                          builds the demonstration firmware, runs it on a virtual board
    tinyvgg board run build/cifar10.elf --port socket://localhost:4404    serves a virtual board to other programs
    tinyvgg board run build/cifar10.elf --port pty              the same as a serial port (Linux, macOS)
    tinyvgg board run theirs.bin --board nucleo-l4r5zi          other firmware (.bin, .hex, --lenient for .elf)
    tinyvgg board info --port /dev/ttyACM0                      which firmware answers, in which protocol
    tinyvgg board evaluate --port virtual:build/light.elf --data cifar10 -n 1000 --out runs/board
    tinyvgg board evaluate --build light.h5 --data cifar10 -n 1000        builds the firmware first (int8), on a virtual board
    tinyvgg board profile --port /dev/ttyACM0 --data cifar10
    tinyvgg board validate --port virtual:build/light.elf --reference light.h5 --data cifar10
    tinyvgg board validate --port /dev/ttyACM0 --protocol stm --reference light.h5    a board with X-CUBE-AI's validation firmware

Each action takes --json and --quiet; `tinyvgg board evaluate --help` shows the options of one.
"""
from tinyvgg.cli import _board_network
from tinyvgg.cli._common import add_common, by_actions, note, print_result


def _add_demo(add_parser):
    demo = add_parser("demo", help="build the demonstration firmware and talk to it")
    demo.add_argument("--out", default="runs/board-demo", help="folder for the firmware (default runs/board-demo)")
    demo.add_argument("--compiler", default="auto", choices=("auto", "zig", "gcc"), help="default: zig, else arm-none-eabi-gcc")
    demo.add_argument("--port", help="a board with the demonstration firmware (default: a virtual one)")
    demo.add_argument("-n", type=int, default=8, help="images (default 8)")
    add_common(demo)
    demo.set_defaults(work=_demo)


def _demo(arguments):
    from pathlib import Path

    from tinyvgg.board.tour import describe, tour
    from tinyvgg.firmware.build import build_demonstration
    image, port = None, arguments.port
    if port is None:
        note(arguments, "building the demonstration firmware (the first time compiles the runtime library too)")
        image = build_demonstration(Path(arguments.out) / "demonstration", compiler=arguments.compiler)
        note(arguments, f"built {image.elf} with {image.compiler}; talking to it on a virtual board")
        port = f"virtual:{image.elf}"
    result = tour(port, n=max(arguments.n, 1), seed=arguments.seed)
    if image:
        result["image"] = image.as_dict()
    print_result(arguments, result, describe(result))


def _add_run(add_parser):
    serve = add_parser("run", help="run firmware on a virtual board, and serve it on a serial port (pty) or a socket")
    serve.add_argument("image", metavar="IMAGE", help="an .elf, or a .bin or .hex of any firmware")
    serve.add_argument("--board", metavar="BOARD", help="name or folder of the board (default: what the ELF was built for, "
                       "else stm32l4r9i-disco)")
    serve.add_argument("--lenient", action="store_true", help="every register answers, with UARTs, SysTick and timers: for firmware "
                       "of others (default for .bin and .hex)")
    serve.add_argument("--port", default="socket://localhost:4404", help="pty, or socket://HOST:PORT (default socket://localhost:4404)")
    serve.add_argument("--timed", action="store_true", help="keep the baud rate's time, and lose bytes that nobody reads")
    serve.add_argument("--strict", action="store_true", help="check alignment and divisors too (slower)")
    _board_network.add_virtual_options(serve)
    serve.add_argument("--profile", action="store_true", help="at the end, print the functions by their cycles")
    serve.add_argument("--seconds", type=float, help="end after so many seconds (default: at Ctrl-C)")
    add_common(serve, seed=False)
    serve.set_defaults(work=_run)


def _run(arguments):
    import time

    from tinyvgg.board.virtual.machine import Machine
    from tinyvgg.board.virtual.serve import serve
    from tinyvgg.errors import OptionError
    if arguments.seconds is not None and not arguments.seconds >= 0:
        raise OptionError(f"--seconds is {arguments.seconds}; expected 0 or more", "--seconds 60")
    machine = Machine(arguments.image, board=arguments.board, strict=arguments.strict, halt_on_fault=False,
                      lenient=arguments.lenient or None, **_board_network.virtual_options(arguments))
    end = time.monotonic() + arguments.seconds if arguments.seconds is not None else None
    try:
        fault = serve(machine, arguments.port,
                      ready=lambda url: note(arguments, f"a virtual {machine.facts.part} waits at {url}; Ctrl-C ends it"),
                      stop=lambda: end is not None and time.monotonic() >= end)
    except KeyboardInterrupt:
        fault = None
    functions = [vars(p) for p in machine.profile()] if arguments.profile else []
    result = {"board": machine.facts.name, "instructions": machine.instructions, "cycles": machine.cycles,
              "zero_wait_cycles": machine.zero_wait_cycles, "seconds": machine.seconds, "ms_error": machine.error_percent,
              "resets": machine.resets, "fault": fault and str(fault), "functions": functions}
    lines = [f"{machine.instructions:,} instructions, {machine.cycles:,} cycles ({machine.zero_wait_cycles:,} at zero wait states), "
             f"{machine.resets} resets"]
    lines += [f"  {p['name']:<40}{p['cycles']:>14,} cycles {p['instructions']:>14,} instructions" for p in functions[:20]]
    lines += [f"stopped with a {fault}"] if fault else []
    print_result(arguments, result, "\n".join(lines))
    return 1 if fault else 0


def _add_info(add_parser):
    info = add_parser("info", help="ask which firmware answers at a port")
    info.add_argument("--port", required=True, help="/dev/ttyACM0, COM3, socket://HOST:PORT, virtual:FILE.elf")
    _board_network.add_protocol(info)
    info.add_argument("--baud", type=int, default=115200, help="rate to work at (default 115200)")
    info.add_argument("--bytes", action="store_true", help="show every byte on standard error")
    add_common(info, seed=False)
    info.set_defaults(work=_info)


def _info(arguments):
    from tinyvgg.board import Board
    from tinyvgg.board.evaluator import usage_of
    with Board(arguments.port, arguments.protocol, baud=arguments.baud, trace=arguments.bytes or None) as board:
        result = {"protocol": board.protocol, **(board.info.as_dict() if board.info else {})}
        if board.info:
            result["usage"] = usage_of(board)
    print_result(arguments, result, "\n".join(f"{key:<18}{value}" for key, value in result.items()))


add_arguments, run = by_actions([_add_demo, _add_run, _add_info, *_board_network.ACTIONS])
