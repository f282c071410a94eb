"""The tables of docs/cortex-m4.md, and those of the plain kernels and of chains in docs/c-code.md, from the rows of benchmarks/cortex_m4.py."""
from tinyvgg.report.tables import markdown

CLOCK_KHZ = 120_000


def tables(rows, facts):
    """Markdown: the plans, the layers of the fastest one, calibrated times."""
    whole = [r for r in rows if "flash_bytes" in r]
    parts = [*facts.get("accuracy", {}).values(),
             "Whole images, at zero wait states; flash and RAM with firmware, stack and buffers:", plans(whole)]
    layers = [r for r in rows if r.get("layer") and r["model"] == "light" and r["plan"] == "fastest"]
    if layers:
        parts += ["The light net's fastest plan, layer by layer (CMSIS-NN: gcc, without batch-norm; pools in their layers):",
                  by_layer(layers)]
    calibrated = [r for r in rows if r.get("bank")]
    if calibrated:
        parts += ["The fastest plans with the flash as on the real chip, kernels in flash and in SRAM2, two banks and one:",
                  by_bank(calibrated)]
    return "\n\n".join(p for p in parts if p)


def direct(rows, facts):
    """Markdown: the light net where every layer runs as `direct`."""
    rows = [r for r in rows if r["model"] == "light" and r["plan"] == "direct"]
    return by_layer([r for r in rows if r.get("layer")]) + "\n\n" + plans([r for r in rows if "flash_bytes" in r])


def row_by_row(rows, facts):
    """Markdown: the light net without a chain of layers, and in the plan of least RAM, which has one."""
    rows = [r for r in rows if r["model"] == "light" and r["plan"] in ("direct", "smallest RAM") and "flash_bytes" in r]
    return markdown(["plan", "compiler", "arena", "RAM", "flash", "cycles"],
                    [[r["plan"], r["compiler"], *(f"{r[k]:,.0f}" for k in ("arena_bytes", "ram_bytes", "flash_bytes", "cycles"))]
                     for r in rows])


def left_out(rows, facts):
    """Markdown: the cycles of the fastest plans of which kernels that are not built could save a part."""
    lines = []
    for compiler in dict.fromkeys(r["compiler"] for r in rows):
        of = [r for r in rows if r["plan"] == "fastest" and r["compiler"] == compiler]
        held = {r["model"]: r for r in of if r.get("code") == "sram2" and r["bank"] == "dual"}
        resnet8 = {r["layer"]: r["cycles"] for r in of if r["model"] == "resnet8" and r.get("layer")}
        parts = [("resnet8", "3x3 with stride 2 (conv2d_3, conv2d_6)", resnet8["conv2d_3"] + resnet8["conv2d_6"]),
                 ("resnet8", "additions", sum(n for layer, n in resnet8.items() if layer.startswith("add"))),
                 *((model, "waiting for data in flash", held[model]["data_stalls"]) for model in ("resnet8", "light"))]
        lines += [[model, what, compiler, f"{cycles:,.0f}", f"{cycles / (held[model]['ours_ms'] * CLOCK_KHZ):.1%}"] for model, what, cycles in parts]
    return markdown(["model", "what", "compiler", "cycles", "of the image"], lines)


def plans(rows):
    """One line a plan and compiler, all peers in its last cell; a plan that comes out as another one of the model is left out."""
    found = {}
    for r in rows:
        found.setdefault((r["model"], r["compiler"], r["cycles"], r["flash_bytes"]), []).append(r)
    lines = []
    for of in found.values():
        r = of[0]
        beside = "; ".join(f"{p['ratio']:.2f}x {p['peer']}" for p in of if p["peer"] and p["plan"] == r["plan"])
        lines.append([r["model"], r["plan"], r["compiler"], f"{r['flash_bytes']:,}", f"{r['ram_bytes']:,}", f"{r['cycles']:,.0f}",
                      f"{r['ours_ms']:.1f}", beside])
    return markdown(["model", "plan", "compiler", "flash", "RAM", "cycles", "ms", "as fast as"], lines)


def by_layer(rows):
    compilers = list(dict.fromkeys(r["compiler"] for r in rows))
    found = {(r["layer"], r["compiler"]): r for r in rows}
    lines = []
    for layer in dict.fromkeys(r["layer"] for r in rows):
        of = [found[layer, c] for c in compilers]
        theirs = f"{of[0]['peer_ms'] * CLOCK_KHZ:,.0f}" if of[0]["peer_ms"] else ""
        lines.append([layer, of[0]["variant"], *(f"{r[k]:,.0f}" for r in of for k in ("instructions", "cycles")), theirs])
    of_each = [f"{k} ({c})" for c in compilers for k in ("instructions", "cycles")]
    return markdown(["layer", "kernel", *of_each, "CMSIS-NN cycles"], lines)


def by_bank(rows):
    lines = [[r["model"], r["compiler"], r["code"], r["bank"], f"{r['ours_ms']:.1f} ± {r['ms_error']} %"] for r in rows
             if r["plan"] == "fastest"]
    return markdown(["model", "compiler", "kernels in", "bank", "ms"], lines)
