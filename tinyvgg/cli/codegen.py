"""Write a model as self-contained C99: a folder to compile anywhere

The C uses no malloc and no stdio; the caller provides the arena (RAM for results). Integer models (.tvq) give the bytes of their
simulation.

    tinyvgg codegen light.tvq --out out/light
    tinyvgg codegen light.tvq --plan direct --out out/small     the smallest kernels, not the fastest that fit the board
    tinyvgg codegen light.h5 --name cifar10 --out out/float
"""
from pathlib import Path

from tinyvgg.cli._classifier import add_model, network_name
from tinyvgg.cli._common import add_common, print_result
from tinyvgg.cli._firmware_plan import add_build_options, add_plan_choice, add_plan_options, planned_without_a_compiler
from tinyvgg.open import open_model


def add_arguments(parser):
    add_model(parser)
    parser.add_argument("--out", metavar="DIR", required=True, help="folder to write")
    parser.add_argument("--name", metavar="NAME", help="name of the network in C (default: of the model's file)")
    add_plan_choice(parser)
    add_build_options(parser)
    add_plan_options(parser)
    add_common(parser)


def run(arguments):
    from tinyvgg.codegen import generate
    from tinyvgg.codegen.generate import check_another
    from tinyvgg.codegen.write import files
    model = planned_without_a_compiler(arguments, open_model(arguments.model, input_range=arguments.input_range, board=False))
    name = arguments.name or network_name(arguments.model)
    check_another(model, Path(arguments.out) / f"{name}.h")
    program = generate(model, arguments.out, name=name)
    result = {"name": program.name, "folder": str(Path(arguments.out)), "files": sorted(files(program)),
              "constants_bytes": program.constant_bytes(), "arena_bytes": program.arena_bytes,
              "macc": sum(op.macc for op in program.graph.ops), "layers": [op.name for op in program.layers]}
    text = (f"{result['folder']}: {len(result['files'])} files; {result['constants_bytes']:,} bytes of constants, "
            f"{result['arena_bytes']:,} bytes of arena, {result['macc']:,} MACC; sizes by layer in SIZES.md")
    print_result(arguments, result, text)
