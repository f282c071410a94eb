"""Turn a model into a board's firmware: plan its kernels, build it, flash it, or export C for your own application

    tinyvgg firmware plan light.tvq --flash 640K --out plan      a kernel for each layer: plan/plan.json, plan/plan.png
    tinyvgg firmware build light.tvq --plan plan/plan.json       build/light.elf .bin .hex .map, and build/light.tvq
    tinyvgg firmware build light.tvq --out build                 the fastest plan that leaves a tenth of the board free
    tinyvgg firmware build light.tvq --protocol mlperf           answers MLPerf Tiny's runner instead of tinyvgg board
    tinyvgg firmware flash build/light.elf                       with STM32CubeProgrammer, OpenOCD, st-flash or pyOCD
    tinyvgg firmware export light.tvq --name cifar10 --out out   for CubeIDE and CMake, with X-CUBE-AI's client calls

Each action takes --json and --quiet; `tinyvgg firmware build --help` shows the options of one.
"""
from pathlib import Path

from tinyvgg.cli import _firmware_plan as plans
from tinyvgg.cli._classifier import add_model, network_name
from tinyvgg.cli._common import add_common, by_actions, note, print_result
from tinyvgg.open import open_model


def _add_build(add_parser):
    build = add_parser("build", help="build the firmware of a network")
    add_model(build)
    build.add_argument("--out", default="build", metavar="DIR", help="folder to write (default build)")
    build.add_argument("--name", help="name of the firmware and of the network in C (default: of the model's file)")
    build.add_argument("--stack", type=int, default=4096, help="bytes of stack (default 4096)")
    build.add_argument("--memory-access", action="store_true",
                       help="compile in the requests that read and write memory (for experiments)")
    build.add_argument("--protocol", default="tinyvgg", choices=("tinyvgg", "mlperf"),
                       help="what the firmware speaks: tinyvgg, the student project's beside it (default), or MLPerf Tiny's commands")
    build.add_argument("--weights", default="flash", choices=("flash", "ram"),
                       help="where constants lie while the board runs: in flash (default), or copied to RAM, where they can be changed")
    build.add_argument("--code", default="auto", choices=("auto", "sram2", "flash"),
                       help="where kernels that are compiled for one shape run: copied to SRAM2, which has no wait states, if they fit (auto, "
                       "default), or in flash")
    build.add_argument("--defence", default="", metavar="NAMES",
                       help="check the constants: crc, radar=128, ranges=32, replicas, separated by commas (docs/bit-flips.md)")
    build.add_argument("--check-every", type=int, default=1, metavar="N",
                       help="check before every N-th inference (default 1; 0: at the start and on demand only)")
    plans.add_plan_choice(build, "; with --weights ram, --defence or --memory-access direct")
    plans.add_build_options(build)
    plans.add_plan_options(build)
    add_common(build, seed=False)
    build.set_defaults(work=_build)


def _build(arguments):
    from tinyvgg.firmware.network import build_network
    model = open_model(arguments.model, input_range=arguments.input_range, board=False)
    note(arguments, "building (the first time compiles the runtime library too)")
    name = arguments.name or network_name(arguments.model)
    model = plans.planned(arguments, model, name=name)
    network = build_network(model, arguments.out, name=name, stack=arguments.stack, weights=arguments.weights, code=arguments.code,
                            defence=arguments.defence, check_every=arguments.check_every,
                            memory_access=arguments.memory_access, protocol=arguments.protocol, **plans.build_options(arguments))
    result = network.as_dict()
    text = (f"{result['elf']} ({result['compiler']}): {result['flash_bytes']:,} bytes of flash, {result['ram_bytes']:,} of RAM "
            f"(arena {result['arena_bytes']:,}, stack {result['stack_bytes']:,})\n"
            f"{result['model']}: the model as the board runs it\n"
            f"Next: {_next(arguments, result['elf'], model)}")
    print_result(arguments, result, text)


def _next(arguments, elf, model):
    if arguments.protocol == "mlperf":
        return f"tinyvgg board run {elf} --port pty, and the benchmark's runner on that port"
    known = getattr(model, "made_for", None) is not None            # then the verb finds its data by the model's file
    return f"tinyvgg board evaluate --port virtual:{elf}{'' if known else ' --data DATA'} -n 100"


def _add_flash(add_parser):
    flash = add_parser("flash", help="write firmware to a real board")
    flash.add_argument("elf", metavar="ELF", help="the firmware (.elf)")
    flash.add_argument("--board", default="stm32l4r9i-disco", help="default stm32l4r9i-disco")
    flash.add_argument("--tool", default="auto",
                       help="stm32cubeprogrammer, openocd, st-flash or pyocd (default: the first found)")
    add_common(flash, seed=False)
    flash.set_defaults(work=_flash)


def _flash(arguments):
    from tinyvgg.firmware.flash import flash
    command = flash(arguments.elf, board=arguments.board, tool=arguments.tool)
    print_result(arguments, {"elf": arguments.elf, "command": command}, f"flashed {arguments.elf} with {command[0]}")


def _add_export(add_parser):
    export = add_parser("export", help="C for CubeIDE and CMake, with X-CUBE-AI's client calls")
    add_model(export)
    export.add_argument("--name", default="network", help="name of the network in C, as X-CUBE-AI's (default network)")
    export.add_argument("--out", required=True, metavar="DIR", help="folder to write")
    export.add_argument("--client", default="7", choices=("5", "7", "stai"),
                        help="whose calls: X-CUBE-AI 5 to 7.0 (buffers with n_batches), 7.1 to 10 (default), or st-ai (stai_*, 10 on)")
    plans.add_plan_choice(export)
    plans.add_build_options(export)
    plans.add_plan_options(export)
    add_common(export, seed=False)
    export.set_defaults(work=_export)


def _export(arguments):
    from tinyvgg.codegen.generate import check_another
    from tinyvgg.firmware.export import export
    model = plans.planned_without_a_compiler(arguments, open_model(arguments.model, input_range=arguments.input_range, board=False))
    check_another(model, Path(arguments.out) / f"{arguments.name}_tinyvgg.h")
    result = export(model, arguments.out, name=arguments.name, client=arguments.client)
    text = (f"{result['folder']}: {len(result['files'])} files; README.md there says how to import them in CubeIDE and CMake\n"
            f"{result['constants_bytes']:,} bytes of constants, {result['arena_bytes']:,} bytes of arena")
    print_result(arguments, result, text)


add_arguments, run = by_actions([_add_build, plans.add_plan, _add_flash, _add_export])
