"""Write the integer network as C, compile it here, and compare every answer with the simulation."""

import time

from tinyvgg.codegen import HostModel, generate
from tinyvgg.codegen.host import find_compiler
from tinyvgg.codegen.write import files
from tinyvgg.errors import BuildError, MissingExtra

NEEDS, WISHES = ("compress",), ()
SCHEME = "int8"


def run(story):
    """Return sizes, bytes by layer, and how many of the images get the simulation's very bytes from the compiled C."""
    try:
        find_compiler()
    except BuildError as error:
        raise MissingExtra(error.problem, 'pip install "tinyvgg[board]", or any C compiler') from error
    model, folder = story.compressed(SCHEME), story.folder("codegen") / SCHEME
    program = generate(model, folder, name=SCHEME)
    x, _ = story.images("test", story.count(story.sizes.host))
    host = HostModel(model)
    started = time.perf_counter()
    answers = host.raw_logits(x)
    seconds = time.perf_counter() - started
    same = int((answers == model.integer_logits(x)).all(axis=1).sum())
    return {
        "folder": str(folder),
        "files": sorted(files(program)),
        "constants_bytes": program.constant_bytes(),
        "arena_bytes": program.arena_bytes,
        "macc": sum(op.macc for op in program.graph.ops),
        "n": len(x),
        "same": same,
        "host_ms": 1000 * seconds / len(x),
        "layers": [{"layer": op.name, "bytes": program.constant_bytes(op), "macc": op.macc} for op in program.layers],
        "failed": []
        if same == len(x)
        else [f"the compiled C differs from the simulation for {len(x) - same} of {len(x)} images"],
        "command": f"tinyvgg codegen {story.tvq_name(SCHEME)} --out {story.inside('codegen', SCHEME)}",
        "compared_command": story.again("codegen"),
    }
