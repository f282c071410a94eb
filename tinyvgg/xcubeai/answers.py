"""Answers to the first questions about a report: does the network fit, which layer is largest, how long does an image take, what
does this version count differently."""

from tinyvgg.analyze import boards, speed
from tinyvgg.xcubeai.rows import SILENT, number_format, release_of

# What a release counts in its own way, for whoever sets two reports beside each other.
COUNTS = (
    (
        lambda r: r < (6, 0),
        "versions 4 and 5 count no bias of a dense layer, and put the function and the pool into the convolution's row",
    ),
    (lambda r: r == (8, 1), "version 8.1 counts 3 MACC an element for a leaky ReLU in C"),
    (lambda r: r >= (10, 0), "version 10 counts 2 MACC an element for a ReLU6 in C, and from 10.2 on folds batch-norms forward"),
    (lambda r: r >= (11, 0), "Core 3 and later count a dense layer's bias once an element of a sequence"),
)


def answers(found):
    """Return the answers from a CrossCheck's report as a list of sentences; estimates are marked."""
    report = found.report
    return [*_fits(report, found.totals), *_largest(report, found), *_time(report), *_counts(report)]


def _need(report, totals, name):
    """Bytes of flash or RAM, and whether the runtime's are missing: as the report prints them, else weights or activations."""
    stated = report.totals.get(f"{name}_total")
    if stated:
        return stated, False
    base = report.totals.get("weights" if name == "flash" else "activations")
    if base is None:
        return None, True
    return base + (report.totals.get("io", 0) if name == "ram" else 0), True


def _fits(report, totals):
    (flash, guess), (ram, ram_guess) = (_need(report, totals, name) for name in ("flash", "ram"))
    if not flash or not ram or any(layer.kind == "epoch" for layer in report.layers):
        return []  # of the boards known here none has the NPU
    known = [boards.load(name) for name in boards.names()]
    fitting = sorted((b.flash_bytes, b.name) for b in known if flash <= b.flash_bytes and ram <= b.ram_bytes)
    mark = " at least, without the runtime's own" if guess or ram_guess else ""
    where = (
        f"fits {len(fitting)} of {len(known)} boards known here, the smallest {fitting[0][1]}"
        if fitting
        else (f"fits none of the {len(known)} boards known here")
    )
    return [f"{flash:,} B of flash and {ram:,} B of RAM{mark}: {where}"]


def _largest(report, found):
    """The layers with most bytes and most MACC, by the table or the C graph."""
    rows = [p.theirs for p in found.rows if p.theirs and p.kind not in SILENT]
    texts = []
    for key, words in (("bytes", "B of weights"), ("macc", "MACC")):
        total = sum(row.get(key) or 0 for row in rows)
        if total:
            most = max(rows, key=lambda row: row.get(key) or 0)
            texts.append(f"{most['name']} has {100 * most[key] / total:.0f} % of the {total:,} {words}")
    return ["; ".join(texts)] if texts else []


def _time(report):
    macc, format_ = report.totals.get("macc"), number_format(report)
    board = boards.load("nucleo-l476rg")
    if not macc:
        return []
    span = speed.in_words(speed.milliseconds(macc, board, format_))
    return [f"an inference: {span} on a Cortex-M4 at {board.clock_hz // 10**6} MHz (estimate: {speed.SOURCE})"]


def _counts(report):
    release = release_of(report)
    return [f"beside other versions: {text}" for applies, text in COUNTS if applies(release)]
