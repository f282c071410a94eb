"""Sections of the page about C, firmware and board. Plain data in, HTML out."""

from tinyvgg.demo.sections_network import _figures
from tinyvgg.report import html, svg


def codegen(story, result):
    """Files, sizes, and the comparison with the integer network in Python."""
    text = (
        f"The 8-bit network is written as {len(result['files'])} files of standard C (C99). The C needs no library. It has "
        f"{result['constants_bytes']:,} bytes of constants and works in an arena of {result['arena_bytes']:,} bytes of RAM. Both are a "
        "little larger than in the section on compression. The C has some tables of its own; and a kernel, the code that computes one "
        "layer, needs some RAM while it runs (scratch). In the table below, batch normalization, pooling and activations (except the "
        f"last softmax) have no rows: they are computed with the layer before them. One image takes {result['macc']:,} MACC. Compiled "
        f"for this computer, the C gave the same output bytes as the 8-bit network in Python for {result['same']:,} of {result['n']:,} "
        f"test images. It took {result['host_ms']:.2f} ms for one image."
    )
    rows = [[r["layer"], f"{r['bytes']:,}", f"{r['macc']:,}"] for r in result["layers"]]
    return (
        html.paragraph(text)
        + html.table("Constants and MACC by layer", ["layer", "constants (bytes)", "MACC"], rows)
        + html.again(result["command"], result["compared_command"])
    )


def firmware(story, result):
    """Sizes of the firmware, and the map of the first one's flash."""
    rows = [
        [
            r["name"],
            r["compiler"],
            f"{r['flash_bytes']:,}",
            f"{r['constants_bytes']:,}",
            f"{r['ram_bytes']:,}",
            f"{r['arena_bytes']:,}",
        ]
        if "elf" in r
        else [r["name"], r["refused"], "-", "-", "-", "-"]
        for r in result["rows"]
    ]
    text = (
        "Complete programs are built for the microcontroller STM32L4R9. Each has the network, the code that computes it, and the code "
        f"that answers over the serial line. The chip has {result['flash_bytes']:,} bytes of flash and {result['ram_bytes']:,} bytes of "
        "RAM. A name says which scheme of compression is inside, and how the firmware was built: “fast” is the fastest; “512k” and "
        "“256k” take at most 512 KiB and 256 KiB of flash; “direct” has the smallest kernels. “floats” is the float network. RAM holds "
        "the arena, the stack (where functions keep their variables), code that runs faster from RAM, and copies of the weights for "
        "kernels whose name ends in _held. The arena also holds scratch. Where flash is limited, kernels may need more scratch, for "
        "example to unpack weights."
    )
    parts = [html.paragraph(text)]
    if result["map"]:
        first = next(r for r in result["rows"] if "elf" in r)
        top = -(-first["flash_bytes"] // 50_000) * 50_000
        parts_of = [(p["name"], p["start"], p["bytes"], p["kind"]) for p in result["map"]]
        largest = max(result["map"], key=lambda p: p["bytes"])
        told = ("Convolutions and dense layers: their weights. Tables: other numbers and texts of the program. The part vectors holds the "
                "addresses at which the processor begins and reacts to interrupts. Padding: unused bytes between parts. The largest part is "
                f"{largest['name']} with {largest['bytes']:,} bytes.")
        if first["plan"]:
            told += " Fast kernels keep weights in a larger form than the section on C code shows."
        chart = svg.strip(parts_of, top, title=f"Flash of the firmware {first['name']}", description=told, capacity=result["flash_bytes"])
        parts.append(
            _figures(
                html.figure(
                    chart,
                    f"What is where in the flash of the firmware {first['name']}, the fastest: the first {top:,} of {result['flash_bytes']:,} "
                    f"bytes, by address. The rest is empty (free). {told}",
                    first["command"],
                    wide=True,
                )
            )
        )
    parts.append(_plans(story, result))
    header = ["firmware", "compiler", "flash (B)", "constants (B), included", "RAM (B)", "arena (B), included"]
    return "".join(parts) + html.table("The firmware that was built", header, rows) + html.again(*(r["command"] for r in result["rows"]))


def _plans(story, result):
    """The best trade-offs of flash against milliseconds, and the kernels of the first firmware."""
    planned = [r for r in result["rows"] if r.get("plan")]
    if not planned:
        return ""
    first = planned[0]
    front = sorted(first["plan"]["front"], key=lambda p: p["ms"])
    drawn = []
    for point in sorted((p["flash_bytes"] / 1000, p["ms"]) for p in front):
        drawn += [point] if not drawn or point[1] < drawn[-1][1] else []
    series = {"fastest plan for each size of flash": drawn}
    for row in planned:
        if row["scheme"] == first["scheme"]:
            series[row["name"]] = [(row["flash_bytes"] / 1000, row["plan"]["ms"])]
    told = (
        f"A plan is one of the best trade-offs if no other plan is better in time, flash and RAM at once. There are {len(front)} such plans; "
        f"they take {front[0]['ms']:.0f} to {front[-1]['ms']:.0f} ms. The line joins the fastest plan for each size of flash, whatever its RAM."
    )
    chart = svg.lines(series, title="Plans", description=told, x="flash of the whole firmware (KB)", y="ms for one image, estimated")
    keys = ("flash_bytes", "scratch_bytes")
    kernels = [[r["layer"], r["variant"], f"{r['ms']:.2f}", *(f"{r[key]:,}" for key in keys)] for r in first["plan"]["layers"]]
    return _figures(
        html.figure(
            chart,
            "For each layer there are several kernels, which give the same numbers at different speeds. A plan chooses one for each "
            "layer, so that the firmware fits into flash and RAM. Times are estimates made before building; they include the delays of "
            f"flash. {told}",
            first["plan"]["command"],
            wide=True,
        )
    ) + html.table(f"Kernels of {first['name']}; flash: code and constants of the layer", ["layer", "kernel", "ms, estimated", "flash (B)",
                                                                                   "scratch (B)"], kernels) + html.again(
        first["plan"]["command"]
    )


def board(story, result):
    """Answers, times, and the front of accuracy against milliseconds."""
    rows, simulated = result["rows"], {r["scheme"]: r for r in story.results["compress"]["rows"]}
    shown = {r["scheme"] for r in rows}
    compressions = [r["command"] for r in story.results["compress"]["rows"] if r["scheme"] in shown]
    if not rows:
        return html.note("No firmware was built, so none was run.", "skipped")
    first = rows[0]
    text = _explained(first)
    points = [
        (r["name"], r["ms_per_image"], 100 * simulated[r["scheme"]]["accuracy"], "floats" if r["scheme"] == "none" else "integers",
         *(100 * v for v in simulated[r["scheme"]]["interval"]))
        for r in rows
    ]
    told = "; ".join(f"{p[0]} {p[1]:,.0f} ms, {p[2]:.1f} %" for p in points)
    chart = svg.scatter(
        points,
        title="Accuracy against milliseconds",
        description=told,
        x="ms for one image at 120 MHz (logarithmic)",
        y="accuracy (%)",
        log_x=True,
        most=100,
    )
    layers = [(r["layer"], r["ms"], "") for r in result["profile"]["layers"] if r["ms"] >= 0.005]
    slow = max(layers, key=lambda r: r[1])
    bars = svg.bars(
        layers,
        title="Milliseconds by layer",
        description=f"The longest is {slow[0]} with {slow[1]:.1f} ms.",
        x="ms for one image",
        number="{:,.2f}",
    )
    header = ["firmware", "same bytes as in Python", "right", "instructions", "cycles", "ms", "ms on the serial line, in addition"]
    cells = [_measured(r) for r in rows]
    return (
        html.paragraph(text)
        + _figures(
            html.figure(
                chart,
                "Accuracy against the time for one image on the board. Accuracies and their 95 % intervals (upright lines) are those of "
                "the section on compression.",
                "\n".join([r["command"] for r in rows] + compressions),
            ),
            html.figure(bars, f"Time for one image in each layer of {first['name']}.", result["profile_command"]),
        )
        + html.table(
            f"Means for one image on the board ({min(r['n'] for r in rows)} images are enough for the time, but too few for an accuracy)",
            header,
            cells,
        )
        + html.again(*(r["command"] for r in rows))
    )


def _explained(first):
    """What was run, and what its numbers mean."""
    return (
        "The virtual board runs the same firmware that a real board would get, instruction by instruction. Images are sent to it over a "
        f"simulated serial line. For {round(first['agreement'] * first['n'])} of {first['n']} test images the firmware {first['name']} "
        f"gives exactly the output bytes of the 8-bit network in Python; {round(first['accuracy'] * first['n'])} of its answers are "
        "right. Instructions are counted exactly. There can be fewer instructions than MACC: one instruction can do two "
        "multiplications, and kernels named winograd need fewer multiplications. Cycles are computed for a flash memory without delay. "
        "The milliseconds are longer: they include the delays of the real flash. This part was fitted to programs whose time was "
        f"measured on real chips of this kind (error ± {first.get('ms_error') or 3:g} %: for programs that were not used in the fit, "
        "the times were off by less)."
    )


def _measured(row):
    """One firmware's cells: answers counted, counts and milliseconds an image."""
    answers = [f"{round(row[key] * row['n'])} of {row['n']}" for key in ("agreement", "accuracy")]
    counts = [f"{row[key]:,.0f}" for key in ("instructions_per_image", "cycles_per_image")]
    return [row["name"], *answers, *counts, f"{row['ms_per_image']:,.2f}", f"{row['wire_ms_per_image']:,.2f}"]
