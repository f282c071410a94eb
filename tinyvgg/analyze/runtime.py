"""Flash and RAM of X-CUBE-AI's runtime: measured constants, which cannot be computed from a model.

Source: the tables "Requested memory size by section" that ST Edge AI Core 2.2.0 (X-CUBE-AI 10.2) printed for two float CNNs, one
of 28 C nodes on a Cortex-M4 and one of 9 on a Cortex-M33. The size of the library's code is that of the kernels that these
networks link; other layers link other kernels. So every figure here is an estimate, except for the networks it was measured on.
"""

from dataclasses import dataclass

from tinyvgg.analyze.st import folded_batch_norms

SOURCE = "measured on reports of X-CUBE-AI 10.2 (base net on a Cortex-M4: 20,450 B of flash, 8,656 B of RAM)"
LIBRARY_TEXT = {"cortex-m4f": 9_740, "cortex-m33": 13_532}
TOOLCHAIN = 638  # text 614, rodata 24 of libm and libgcc
DATA_OBJECT = (152, 88)  # flash and RAM of NAME_data.o
LUT_TEXT = 16  # bytes of code added if a layer shares its weights
# Size of NAME.o with 28 nodes and 65 arrays, and its growth between the two reports.
NODES, ARRAYS = 28, 65
TEXT, RODATA, DATA, BSS = 1_444, 224, 8_252, 316
TEXT_NODE, RODATA_NODE, DATA_ARRAY, BSS_NODE = 36, 8, 126, 6


@dataclass(frozen=True)
class Runtime:
    """Bytes of flash and RAM beside weights and activations."""

    flash_bytes: int
    ram_bytes: int
    source: str = SOURCE


def estimate(operations, *, core="cortex-m4f", shared=False):
    """Estimate the runtime of a network -> Runtime."""
    nodes, arrays = _counts(operations)
    text = TEXT + TEXT_NODE * (nodes - NODES) + (LUT_TEXT if shared else 0)
    rodata, data = RODATA + RODATA_NODE * (nodes - NODES), DATA + DATA_ARRAY * (arrays - ARRAYS)
    bss = BSS + BSS_NODE * (nodes - NODES)
    flash = (
        LIBRARY_TEXT.get(core, LIBRARY_TEXT["cortex-m4f"])
        + TOOLCHAIN
        + DATA_OBJECT[0]
        + max(text, 0)
        + max(rodata, 0)
        + max(data, 0)
    )
    return Runtime(flash, DATA_OBJECT[1] + max(data, 0) + max(bss, 0))


def _counts(operations):
    """Return the numbers of C nodes and of arrays: an output for each node, weights, a scratch for each convolution, the
    input."""
    folded = folded_batch_norms(operations)
    nodes = [op for op in operations if op.kind not in ("input", "reshape", "pad") and op.name not in folded]
    arrays = len(nodes) + 1 + sum(len(op.parameters) for op in nodes if not op.shared) + sum(op.kind == "conv" for op in nodes)
    return len(nodes), arrays
