"""Sections of the page about C, firmware and board. Plain data in, HTML out."""

from tinyvgg.demo.sections_network import _figures
from tinyvgg.report import html, svg


def codegen(story, result):
    """Files, sizes, and the comparison with the simulation."""
    text = (
        f"The integer network as {len(result['files'])} files of C99 without malloc: {result['constants_bytes']:,} "
        f"bytes of constants, {result['arena_bytes']:,} bytes of arena, {result['macc']:,} multiplications of weights. "
        f"Compiled here it gives the simulation's very bytes for {result['same']:,} of {result['n']:,} test images "
        f"({result['host_ms']:.2f} ms each)."
    )
    rows = [[r["layer"], f"{r['bytes']:,}", f"{r['macc']:,}"] for r in result["layers"]]
    return (
        html.paragraph(text)
        + html.table("Constants and multiplications by layer", ["layer", "constants B", "MACC"], rows)
        + html.again(result["command"], result["compared_command"])
    )


def firmware(story, result):
    """Sizes of the images, and the map of the first one's flash."""
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
        f"Images for the STM32L4R9, whole: vectors, start-up, UART, both protocols, kernels, network. The chip has "
        f"{result['flash_bytes']:,} bytes of flash and {result['ram_bytes']:,} of RAM."
    )
    parts = [html.paragraph(text)]
    if result["map"]:
        first = next(r for r in result["rows"] if "elf" in r)
        top = -(-first["flash_bytes"] // 65536) * 65536
        parts_of = [(p["name"], p["start"], p["bytes"], p["kind"]) for p in result["map"]]
        largest = max(result["map"], key=lambda p: p["bytes"])
        told = f"The largest part is {largest['name']} with {largest['bytes']:,} bytes."
        chart = svg.strip(parts_of, top, title=f"Flash of the image {first['name']}", description=told)
        parts.append(
            _figures(
                html.figure(
                    chart,
                    f"Map of the flash of {first['name']}, its first {top // 1024} KiB by address; beyond "
                    f"lies nothing up to {result['flash_bytes'] // 1024:,} KiB. {told}",
                    first["command"],
                    wide=True,
                )
            )
        )
    parts.append(_plans(story, result))
    header = ["image", "compiler", "flash B", "of it constants B", "RAM B", "of it arena B"]
    return "".join(parts) + html.table("Images", header, rows) + html.again(*(r["command"] for r in result["rows"]))


def _plans(story, result):
    """The plans that no other beats, flash against milliseconds, and the kernels of the first image."""
    planned = [r for r in result["rows"] if r.get("plan")]
    if not planned:
        return ""
    first = planned[0]
    front = sorted(first["plan"]["front"], key=lambda p: p["ms"])
    drawn = []
    for point in sorted((p["flash_bytes"] / 1000, p["ms"]) for p in front):
        drawn += [point] if not drawn or point[1] < drawn[-1][1] else []
    series = {"the fastest within so much flash": drawn}
    for row in planned:
        if row["scheme"] == first["scheme"]:
            series[row["name"]] = [(row["flash_bytes"] / 1000, row["plan"]["ms"])]
    told = (
        f"{len(front)} plans, from {front[0]['ms']:.0f} to {front[-1]['ms']:.0f} ms, that no other beats in time, flash and RAM; "
        "the line leaves RAM aside."
    )
    chart = svg.lines(series, title="Plans", description=told, x="flash of the whole image (KB)", y="ms an image, by formula")
    keys = ("cycles", "flash_bytes", "scratch_bytes")
    kernels = [[r["layer"], r["variant"], *(f"{r[key]:,}" for key in keys)] for r in first["plan"]["layers"]]
    return _figures(
        html.figure(
            chart,
            f"A kernel for each layer, chosen within budgets of flash and RAM. {told}",
            first["plan"]["command"],
            wide=True,
        )
    ) + html.table(f"Kernels of {first['name']}", ["layer", "kernel", "cycles by formula", "flash B", "scratch B"], kernels)


def board(story, result):
    """Answers, times, and the front of accuracy against milliseconds."""
    rows, accuracy = result["rows"], {r["scheme"]: r["accuracy"] for r in story.results["compress"]["rows"]}
    shown = {r["scheme"] for r in rows}
    compressions = [r["command"] for r in story.results["compress"]["rows"] if r["scheme"] in shown]
    if not rows:
        return html.note("No image was built, so none was run.", "skipped")
    first = rows[0]
    text = (
        f"The very image that a real board would be flashed with runs instruction by instruction, and is asked over its USART. "
        f"The image {first['name']} answers {100 * first['agreement']:.0f} % of {first['n']} test images with the simulation's "
        f"bytes; {100 * first['accuracy']:.1f} % are right. Instructions are exact; cycles are a model of the Cortex-M4 at zero "
        "wait states. Milliseconds are calibrated on silicon: the flash behind its caches, as in firmware of others whose time was "
        f"measured on the same core (+- {first.get('ms_error') or 3:g} %)."
    )
    points = [
        (r["name"], r["ms_per_image"], 100 * accuracy[r["scheme"]], "floats" if r["scheme"] == "none" else "integers")
        for r in rows
    ]
    told = "; ".join(f"{p[0]} {p[1]:,.0f} ms, {p[2]:.1f} %" for p in points)
    chart = svg.scatter(
        points,
        title="Accuracy against milliseconds",
        description=told,
        x="ms an image at 120 MHz (logarithmic)",
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
        x="ms",
        number="{:,.2f}",
    )
    header = ["firmware", "same bytes", "right", "instructions", "cycles", "ms", "ms on the wire"]
    cells = [_measured(r) for r in rows]
    return (
        html.paragraph(text)
        + _figures(
            html.figure(
                chart,
                "Accuracy (simulated, as the section on compression has it) against time of an inference on the board.",
                "\n".join([r["command"] for r in rows] + compressions),
            ),
            html.figure(bars, f"Time by layer of {first['name']}.", result["profile_command"]),
        )
        + html.table(
            f"An image on the board, means. {min(r['n'] for r in rows)} images are enough for its time, too few for an accuracy",
            header,
            cells,
        )
        + html.again(*(r["command"] for r in rows))
    )


def _measured(row):
    """One firmware's cells: answers counted, counts and milliseconds an image."""
    answers = [f"{round(row[key] * row['n'])} of {row['n']}" for key in ("agreement", "accuracy")]
    counts = [f"{row[key]:,.0f}" for key in ("instructions_per_image", "cycles_per_image")]
    return [row["name"], *answers, *counts, f"{row['ms_per_image']:,.2f}", f"{row['wire_ms_per_image']:,.2f}"]
