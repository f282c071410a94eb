"""generate(model, folder) writes a folder of C for a model."""
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tinyvgg.codegen.emit import identifier
from tinyvgg.codegen.guard import guard_code, guard_files
from tinyvgg.codegen.program import Program, build_program
from tinyvgg.codegen.variants import plain_sha256
from tinyvgg.codegen.write import files
from tinyvgg.errors import NotYet, OptionError
from tinyvgg.quant.graph import Graph
from tinyvgg.report.record import check_folder, write_bytes
from tinyvgg.types import PathLike


def graph_of(model):
    """Return the Graph of a model: its own for a QuantizedModel or a compressed float model, the fused one for an nn.Model."""
    if isinstance(model, Graph):
        return model
    if isinstance(getattr(model, "graph", None), Graph):
        return model.graph
    if hasattr(model, "layers") and hasattr(model, "input_range"):
        from tinyvgg.quant.fuse import fuse
        try:
            return fuse(model)
        except NotYet as error:                 # the user asked for float C and has no integer model
            problem = error.problem.replace("the integer model has no", "C code has no").split(": add a rule in quant/")[0]
            raise NotYet(problem, "tinyvgg evaluate, attack or summary, which can run this network") from error
    raise OptionError(f"C is generated from a model; got {type(model).__name__}", "tinyvgg.load_model(path)")


def model_sha256(model):
    """Return the SHA-256 of a model's graph, which the C contains."""
    from tinyvgg.quant.tvq import graph_sha256
    return graph_sha256(graph_of(model))


def check_another(model, header):
    """Raise OptionError if `header`, the path of a network's header, belongs to another network; a different plan is allowed."""
    path = Path(header)
    found = re.search(r"without its plan ([0-9a-f]{64})", path.read_text(encoding="utf-8", errors="replace")[:4096]) if path.is_file() else None
    if found and found[1] != plain_sha256(graph_of(model)):
        raise OptionError(f"{path} is the C of another network, which would be lost (weights trained again are another network's)",
                          f"another --out, another --name, or remove {path}")


def generate(model: Any, folder: PathLike, *, name: str | None = None, header: Any = None, more_kernels: Sequence[Any] = (),
             guard: Any = None) -> Program:
    """Write the C of a model (nn.Model, QuantizedModel, CompressedModel or Graph) into `folder`; return the Program.

    name: a C identifier, by default the model's own name; header: file name of the header, by default NAME.h; more_kernels:
    kernel files to write in addition to those that the network needs; guard: a guard.Guard, the defences of the constants to
    write too. Two runs write the same bytes. Raises OptionError if `name` is not a C identifier, WriteError if `folder` is a
    file, NotYet for an op without an emitter.
    """
    check_folder(folder)
    graph = graph_of(model)
    more_kernels = (*more_kernels, *(["tv_guard"] if guard else []))
    program = build_program(graph, identifier(graph.name)[:31] if name is None else name, more_kernels=more_kernels)
    more = {"more_files": guard_files(program, guard), "more_code": guard_code(program)} if guard else {}
    for file, text in files(program, sha256=model_sha256(graph), header=header, **more).items():
        write_bytes(Path(folder) / file, text)
    return program
