"""Estimated time of a network under X-CUBE-AI's runtime, from published measurements of cycles a MACC.

Float: 8.78 cycles a MACC, the one public measurement known (X-CUBE-AI 3.3 on a Cortex-M4 at 84 MHz, 950,717 MACC in 99.4 ms).
Integers: the four networks of MLPerf Tiny 1.1 on a NUCLEO-L4R5ZI at 120 MHz (ST's own results, version 8): 1.9 to 3.1.
"""

FLOAT, INTEGER = (8.78, 8.78), (1.9, 3.1)
SOURCE = "cycles a MACC that others measured on a Cortex-M4: 8.8 for floats (version 3.3), 1.9 to 3.1 for integers (version 8)"
CORES = ("cortex-m4f",)


def milliseconds(macc, board, number_format="float"):
    """Return (least, most) milliseconds for `macc` on a Board, or None for a core without published measurements."""
    if board.core not in CORES:
        return None
    return tuple(1e3 * macc * cycles / board.clock_hz for cycles in (FLOAT if number_format == "float" else INTEGER))


def in_words(span):
    """Return a span as text: "about 33 ms", "3.1 to 5.2 ms"."""
    low, high = (f"{value:,.0f}" if value >= 100 else f"{value:.3g}" for value in span)
    return f"about {low} ms" if low == high else f"{low} to {high} ms"
