"""Tables and figures of benchmarks/bitflip.py from its kept rows; a table whose rows are not there yet is left out."""
from collections import Counter

import numpy as np

from tinyvgg.report.tables import markdown

FLIPS = 20


def percent(value):
    return "-" if value is None else f"{100 * value:.1f} %"


def spread(values):
    """Median (lowest to highest)."""
    return f"{100 * np.median(values):.1f} % ({100 * min(values):.1f} to {100 * max(values):.1f})"


def of(rows, prefix):
    """{the rest of the name: row}."""
    return {name.removeprefix(prefix): row for name, row in rows.items() if name.startswith(prefix)}


def tables(rows, facts):
    """Return every table that the rows allow, as Markdown."""
    parts = [f"Model {facts['entry']}, int8, SHA-256 {facts['sha256'][:12]}; {facts['data']}."]
    for title, make in (("Searched and random flips", _searches), ("What is flipped", _kinds), ("Bit 30 of float32 weights", _exponent),
                        ("Defences against 20 searched flips", _defences), ("What defences cost on the board", _board),
                        ("Attackers who know RADAR", _adaptive), ("Outliers cut off", _clipped), ("Worst arrays and bits", _heat)):
        text = make(rows)
        if text:
            parts.append(f"## {title}\n{text}")
    return "\n\n".join(parts)


def _searches(rows):
    found, drawn = of(rows, "search/"), of(rows, "random/")
    if not found or "clean" not in rows:
        return ""
    clean, lines = rows["clean"], []
    for count in (0, 1, 2, 5, 10, 15, 20, 25):
        at = [row["curve"][min(count, len(row["curve"]) - 1)] for row in found.values()]
        few = rows.get(f"random few/{count}")
        lines.append([count, spread(at), "" if few is None else spread([few["rows"][0][k] for k in ("lowest", "median", "highest")])])
    for count in (100, 1000):
        if f"random few/{count}" in rows:
            few = rows[f"random few/{count}"]["rows"][0]
            lines.append([count, "", spread([few[k] for k in ("lowest", "median", "highest")])])
    text = markdown(["flips", "searched", "random"], lines)
    reached = [row["reached"] for row in found.values()]
    steps, seconds = max(row["steps"] for row in found.values()), ", ".join(str(row["cpu_seconds"]) for row in found.values())
    ends = " and ".join(f"{n} steps {spread([row[k] for row in found.values()])}" for n, k in ((FLIPS, "accuracy_20"), (steps, "accuracy")))
    text += (f"\n\nSteps to 11 % or less on 500 images: {', '.join(f'not in {steps}' if r is None else str(r) for r in reached)}. "
             f"On all {clean['n']:,} test images: {percent(clean['accuracy'])} before, after {ends}. CPU seconds a search: {seconds}.")
    bits = sum((Counter(row["bits"]) for row in found.values()), Counter())
    text += f" Bits flipped: {', '.join(f'bit {bit} {n} times' for bit, n in sorted(bits.items(), key=lambda i: -int(i[0])))}."
    if drawn:
        lost = [100 * (clean["accuracy"] - row["accuracy"]) for row in drawn.values()]
        text += (f"\n\n{FLIPS} random flips on all {clean['n']:,} test images, {len(lost)} draws: points lost {', '.join(f'{v:.2f}' for v in lost)}; "
                 f"median {np.median(lost):.2f}, worst {max(lost):.2f}.")
    return text


def _kinds(rows):
    lines, found = [], of(rows, "search/")
    for name, row in [*list(found.items())[:1], *of(rows, "kind/").items(), *of(rows, "shared4/").items()]:
        what = "int8 weights" if name in found else f"shared4: {name}" if f"shared4/{name}" in rows else name
        curve = row["curve"]
        lines.append([what, *(percent(curve[i]) if i < len(curve) else "-" for i in (0, 1, 2, 5, 10)), row["hamming"] if name not in found else "",
                      row["stopped"] or ""])
    text = markdown(["flipped", "clean", "1 step", "2", "5", "10", "bits in all", "ended"], lines) if len(lines) > 1 else ""
    if "shift" in rows:
        worst = sorted((r for r in rows["shift"]["rows"] if r["tried"]), key=lambda r: -r["worst_drop"])
        half = sum(r["worst_drop"] > 0.5 for r in worst)
        text += (f"\n\nShifts, one flip: {half} of {len(worst)} bits cost more than 50 points; the worst, {worst[0]['tensor']} bit "
                 f"{worst[0]['bit']}, costs {100 * worst[0]['worst_drop']:.1f}.")
    return text


def _exponent(rows):
    if "exponent" not in rows:
        return ""
    lines = [[r["array"], "+" if r["sign"] > 0 else "-", percent(r["median"]), percent(r["lowest"]), percent(r["highest"])]
             for r in rows["exponent"]["rows"]]
    return f"Without a flip {percent(rows['exponent']['clean'])}.\n\n" + markdown(["array", "sign", "median of 4", "lowest", "highest"], lines)


def _defences(rows):
    found, lines = of(rows, "defence/"), []
    for name in dict.fromkeys(key.rsplit("/", 1)[0] for key in found):
        some = [row for key, row in found.items() if key.rsplit("/", 1)[0] == name]
        flips = "-" if some[0]["found"] is None else f"{np.mean([r['found'] / r['flips'] for r in some]):.1%}"
        zeroed = "-"
        if "zeroed" in some[0]:
            means = {key: np.mean([r["zeroed"][key] for r in some]) for key in some[0]["zeroed"]}
            worst = max(means, key=means.get)
            zeroed = f"{means[worst]:.1%} of {worst}"
        lines.append([name, f"{sum(r['detected'] for r in some)} of {len(some)}", flips, spread([r["accuracy_attacked"] for r in some]),
                      spread([r["accuracy_repaired"] for r in some]), f"{some[0]['bytes']:,}", zeroed])
    return markdown(["defence", "detected", "flips in found groups", "attacked", "repaired", "bytes", "zeroed most"], lines) if lines else ""


def _board(rows):
    found, lines = of(rows, "board/"), []
    if "none" not in found:
        return ""
    plain = found["none"]
    for name, row in found.items():
        more = row["inference_cycles"] - plain["inference_cycles"]
        lines.append([name, f"{row['flash'] - plain['flash']:,}", f"{row['ram'] - plain['ram']:,}", f"{row['check_cycles']:,}",
                      f"{1000 * row['check_cycles'] / row['clock_hz']:.2f} ms", f"{more:,}", f"{more / plain['inference_cycles']:.1%}"])
    return (f"Without a defence: {plain['flash']:,} bytes of flash, {plain['ram']:,} of RAM, {plain['inference_cycles']:,} cycles an image.\n\n"
            + markdown(["defence", "flash, bytes", "RAM, bytes", "check, cycles", "at the start", "added to an inference, cycles", "added"], lines))


def _adaptive(rows):
    lines = []
    for kind, row in of(rows, "adaptive/").items():
        seen = {name: row[f"with {name}"] for name in ("radar", "crc", "replicas")}
        lines.append([kind, row["hamming"], percent(row["accuracy"]), *("yes" if seen[n]["detected"] else "no" for n in seen),
                      percent(seen["radar"]["accuracy_repaired"]), percent(seen["replicas"]["accuracy_repaired"])])
    head = ["attacker", "bits", "accuracy", "radar=128 sees", "crc sees", "replicas see", "after radar", "after replicas"]
    return markdown(head, lines) if lines else ""


def _clipped(rows):
    found = of(rows, "clipped/")
    if not found or "clean" not in rows or "search/0" not in rows:
        return ""
    plain = {**rows["search/0"], "clean": rows["clean"]["accuracy"], "accuracy": rows["search/0"]["accuracy_20"]}
    lines = [[name if row is plain else f"{name} deviations", percent(row["clean"]), *(percent(row["curve"][min(n, len(row["curve"]) - 1)])
              for n in (1, 2, 5, 10, 20)), percent(row["accuracy"])] for name, row in {"as trained": plain, **found}.items()]
    return markdown(["kernels", "clean, all", "1 step", "2", "5", "10", "20", "20, all"], lines)


def _heat(rows):
    found = [r for row in of(rows, "heat/").values() for r in row["rows"] if r["tried"]]
    ranked = sorted(found, key=lambda r: -r["worst_drop"])[:12]
    lines = [[r["tensor"], r["bit"], f"{100 * r['mean_drop']:.1f}", f"{100 * r['worst_drop']:.1f}", r["tried"]] for r in ranked]
    if not lines:
        return ""
    mapped = ", ".join(dict.fromkeys(r["tensor"] for r in found))
    return f"Of {mapped}:\n\n" + markdown(["array", "bit", "mean points lost", "worst", "tried"], lines)


def figures(rows, folder):
    """Draw bitflip-curves.svg and bitflip-map.svg."""
    from tinyvgg.report.fault_plots import flip_curves, heat_map
    folder.mkdir(parents=True, exist_ok=True)
    curves = [row["curve"] for row in of(rows, "search/").values()]
    if curves:
        full = np.array([curve + curve[-1:] * (max(map(len, curves)) - len(curve)) for curve in curves])
        line = [{"flips": i, "median": float(np.median(c)), "lowest": float(c.min()), "highest": float(c.max())} for i, c in enumerate(full.T)]
        few = [row["rows"][0] for name, row in of(rows, "random few/").items() if int(name) <= 30]
        flip_curves({"searched": line, "random": few} if few else {"searched": line}, folder / "bitflip-curves.svg", chance=0.1)
    found = [r for row in of(rows, "heat/").values() for r in row["rows"]]
    if found:
        heat_map(found, folder / "bitflip-map.svg")
