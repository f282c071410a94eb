"""Small reports and C files in ST's layouts, written for these tests."""

import struct

V8 = """\
Neural Network Tools for STM32 family v1.7.0 (stm.ai v8.1.0-19520)
Created date          : 2024-08-12 12:35:19
Parameters            : generate --name network -m tiny.h5 --compression none

Exec/report summary (generate)
------------------------------------------------------------
model file         :   tiny.h5
type               :   keras
c_name             :   network
compression        :   none
model_hash         :   0x00112233445566778899aabbccddeeff
params #           :   116 items (464 B)
------------------------------------------------------------
input 1/1          :   'x' (domain:activations/**default**)
                   :   32 items, 128 B, ai_float, float, (1,4,4,2)
macc               :   712
weights (ro)       :   464 B (464 B) (1 segment)
activations (rw)   :   300 B (300 B) (1 segment) *
ram (total)        :   300 B (300 B) = 300 + 0 + 0
------------------------------------------------------------
(*) 'input'/'output' buffers can be used from the activations buffer

Model name - tiny ['x'] ['dense']
------ ------------------------------ --------------------- ---------- ---- ------------ --- ------ ------------ ---------
m_id   layer (type,original)          oshape                param/size macc connected to |   c_size c_macc       c_type
------ ------------------------------ --------------------- ---------- ---- ------------ --- ------ ------------ ---------
0      x (Input, )                    [b:1,h:4,h:4,w:4,c:2]                              |
       conv (Conv2D, Conv2D)          [b:1,h:4,w:4,c:2]     38/152      578            x |          +32(+5.5%)   conv2d[0]
       conv_nl (Nonlinearity, Conv2D) [b:1,h:4,w:4,c:2]                  32         conv |          -32(-100.0%)
------ ------------------------------ --------------------- ---------- ---- ------------ --- ------ ------------ ---------
"""

V5 = """\
Neural Network Tools for STM32 v1.4.0 (AI tools v5.2.0)
Created date       : 2021-01-25 22:31:03

Exec/report summary (generate dur=0.91s err=0)
------------------------------------------------------------------------------------------------------------------------
model file         : C:\\models\\tiny.h5
type               : keras (keras_dump) - tf.keras 2.4.0
c_name             : network
compression        : 8
params #           : 78 items (312 B)
macc               : 690
weights (ro)       : 312 B (312 B) (-12.00%)
activations (rw)   : 200 B (200 B)
ram (total)        : 240 B (240 B) = 200 + 20 + 20

------------------------------------------------------------------------------------------------------------------------
id  layer (type)               output shape      param #     connected to             macc           rom
------------------------------------------------------------------------------------------------------------------------
0   input_0 (Input)            (4, 4, 2)
    conv (Conv2D)              (4, 4, 2)         38          input_0                  610            152
    conv_nl (Nonlinearity)     (4, 4, 2)                     conv
------------------------------------------------------------------------------------------------------------------------
1   dense (Dense)              (2,)              40          conv_nl                  80             160 (c)
------------------------------------------------------------------------------------------------------------------------
tiny p=78(312 Bytes) macc=690 rom=312 Bytes ram=200 B io_ram=40 B
"""


def c_array(data, *, name="s_network_weights_array_u64", kind="ai_u64"):
    """Return a C array of 64-bit words that holds `data`, padded with zeros."""
    data = data + bytes(-len(data) % 8)
    words = [f"0x{value:x}U" for value in struct.unpack(f"<{len(data) // 8}Q", data)]
    lines = "".join(f"  {', '.join(words[i : i + 4])},\n" for i in range(0, len(words), 4))
    return f"AI_ALIGNED(32)\nconst {kind} {name}[{len(words)}] = {{\n{lines}}};\n"


def legacy_network(tensors, *, macc=0, signature="00112233445566778899aabbccddeeff"):
    """Return network.c of the legacy API. tensors: (name, format, items, start, header bytes)."""
    arrays = "".join(
        f"/* Array#{i} */\nAI_ARRAY_OBJ_DECLARE(\n  {name}_array, AI_ARRAY_FORMAT_{format_},\n  NULL, NULL, {items}, AI_STATIC)\n"
        for i, (name, format_, items, _, _) in enumerate(tensors)
    )
    places = "".join(
        f"    {name}_array.format |= AI_FMT_FLAG_CONST;\n"
        f"    {name}_array.data = AI_PTR(g_network_weights_map[0] + {start + header});\n"
        f"    {name}_array.data_start = AI_PTR(g_network_weights_map[0] + {start});\n"
        for name, _, _, start, header in tensors
    )
    return (
        f'#define AI_NETWORK_MODEL_SIGNATURE     "{signature}"\n{arrays}\n'
        f"ai_bool network_configure_weights(void) {{\n{places}}}\n"
        f"      .n_macc            = {macc},\n"
    )


def pack_codebook(codebook, indices):
    """Write a shared tensor in ST's layout: the codebook, then indices, two to a byte with the first in the high nibble."""
    stored = (
        indices
        if len(codebook) == 256
        else [(a << 4) | b for a, b in zip(indices[::2], [*indices[1::2], 0][: len(indices[::2])], strict=True)]
    )
    return struct.pack(f"<{len(codebook)}f", *codebook) + bytes(int(v) for v in stored)


COLUMNS = {
    "m_id": 6,
    "layer (type,original)": 46,
    "oshape": 44,
    "param/size": 16,
    "macc": 14,
    "connected to": 26,
    "|": 3,
    "c_size": 16,
    "c_macc": 18,
    "c_type": 20,
}
CORE_2 = "ST Edge AI Core v2.2.0-20266 2adc00962"


def table(
    rows, *, tool=CORE_2, kind="keras", format_="float", compression="none", macc=0, weights=0, c_macc=None, c_weights=None
):
    """A report in the layout of version 8 and later.

    rows: (id, "name (type, original)", shape, "parameters/bytes", macc, input, c_size, c_macc); macc, weights: its totals.
    """
    ruler = " ".join("-" * width for width in COLUMNS.values())
    lines = [ruler, " ".join(name.ljust(width) for name, width in COLUMNS.items()), ruler]
    for row in rows:
        cells = [*map(str, row[:6]), "|", *map(str, row[6:])]
        cells += [""] * (len(COLUMNS) - len(cells))
        lines.append(" ".join(cell.ljust(width) for cell, width in zip(cells, COLUMNS.values(), strict=True)))
    parameters = sum(int(row[3].split("/")[0].replace(",", "")) for row in rows if row[3])
    c_macc, c_weights = macc if c_macc is None else c_macc, weights if c_weights is None else c_weights
    head = {
        "type": kind,
        "c_name": "network",
        "compression": compression,
        "model_fmt": format_,
        "params #": f"{parameters:,} items (1 KiB)",
        "macc": f"{c_macc:,}",
        "weights (ro)": f"{c_weights:,} B (1 KiB) (1 segment)",
    }
    return "\n".join(
        [
            tool,
            "Created date          : 2025-12-02",
            "",
            "Exec/report summary (generate)",
            "-" * 60,
            *(f"{key:<19}:   {value}" for key, value in head.items()),
            "-" * 60,
            "",
            "Model name - tiny",
            *lines,
            ruler,
            f"model/c-model: macc={macc:,}/{c_macc:,}  weights={weights:,}/{c_weights:,}  activations=--/0 io=--/0",
            "",
        ]
    )
