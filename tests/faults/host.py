"""Host C of a network whose constants are those of a flipped store."""
import ctypes
import tempfile
from pathlib import Path

import numpy as np

from tinyvgg.codegen import host
from tinyvgg.codegen.program import build_program
from tinyvgg.codegen.write import files


def compiled(store, images):
    """Generate C with the numbers of an ImageStore as they stand (its shifts apart), compile it here: raw logits of images."""
    program = build_program(store.original, "network")
    for constant in program.constants:
        key = next(k for k in store.arrays if store.constant(k) == f"network_{constant.name}")
        constant.array[...] = store.arrays[key].view(constant.array.dtype).reshape(constant.array.shape)
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files(program).items():
            (Path(folder) / name).write_text(text)
        library = ctypes.CDLL(str(host.compile_library(folder, Path(folder) / "n.so", flags=("-O1",))))
        arena, raw = np.zeros(program.arena_bytes // 8 + 1, np.uint64), np.zeros((len(images), store.n_classes), np.int16)
        for i, image in enumerate(images):
            image = np.ascontiguousarray(image)
            args = [a.ctypes.data_as(ctypes.c_void_p) for a in (image, raw[i])]
            assert library.network_run(*args, None, arena.ctypes.data_as(ctypes.c_void_p), None) == 0
    return raw
