"""Sections of the page about attacks and bit flips. Plain data in, HTML out."""

from html import escape

import numpy as np

from tinyvgg import attacks
from tinyvgg.demo.sections_network import _figures
from tinyvgg.report import html, svg

SHOWN = 8


def attack(story, result):
    """PGD, curves, transfer, the board, and some images."""
    text = (
        f"PGD moves every value of an image by at most {result['eps']} (L-inf, {result['steps']} steps of {result['step']}) so "
        "that the answer turns wrong. The integer network is attacked with its own answers forwards, and each rounding taken for "
        "the identity backwards (straight-through); transfer shows the images made against one network to another."
    )
    return (
        html.paragraph(text)
        + _table(result)
        + html.again(*(r["command"] for r in result["pgd"]))
        + _shots(story, result)
        + _figures(_curves(result), _transfer(result))
        + _on_the_board(result)
    )


def _table(result):
    header = ["attacked", "images", "clean %", "left by PGD %", "95 % interval", "gradients", "seconds"]
    rows = [
        [
            r["source"],
            r["n"],
            f"{100 * r['clean_accuracy']:.1f}",
            f"{100 * r['robust_accuracy']:.1f}",
            " to ".join(f"{100 * v:.1f}" for v in r["robust_accuracy_interval"]),
            f"{r['gradients']:,}",
            f"{r['seconds']:.1f}",
        ]
        for r in result["pgd"]
    ]
    flags = sorted({flag for r in result["pgd"] for flag in r["flags"]})
    return html.table("PGD", header, rows) + "".join(html.note(f"Flag: {flag}.") for flag in flags)


def _shots(story, result):
    """Clean, attacked and the difference, of images that were fooled."""
    shown = attacks.load(story.folder("attack") / "float")
    chosen = np.concatenate([np.flatnonzero(shown.success), np.flatnonzero(~shown.success)])[:SHOWN]
    low, high = shown.bounds
    cards = []
    for i in chosen:
        clean, bad = (np.clip(255 * (a[i] - low) / (high - low), 0, 255).round().astype(np.uint8) for a in (shown.x, shown.x_adv))
        step = shown.x_adv[i].astype(np.float64) - shown.x[i]
        change = np.clip(127.5 + 127.5 * step / max(np.abs(step).max(), 1e-12), 0, 255).astype(np.uint8)
        before, after = (
            _named(story, labels[i], scores[i])
            for labels, scores in ((shown.pred_clean, shown.scores_clean), (shown.pred_adv, shown.scores_adv))
        )
        cells = (
            (clean, f"clean image, answered {before}", before),
            (bad, f"attacked image, answered {after}", after),
            (change, "the difference, enlarged", "difference"),
        )
        cards.append(
            '<div class="shot">'
            + "".join(
                f"<div>{html.image(pixels, alt)}{f'<b>{escape(text)}</b>' if text != 'difference' else escape(text)}</div>"
                for pixels, alt, text in cells
            )
            + "</div>"
        )
    caption = (
        f"Images against the float network: clean, attacked, and the difference enlarged (grey is none); with its answer and how "
        f"sure it is. The largest change of a value is {result['eps']}."
    )
    return _figures(html.figure(f'<div class="shots">{"".join(cards)}</div>', caption, result["pgd"][0]["command"], wide=True))


def _named(story, label, scores):
    classes = story.dataset.classes
    return f"{classes[label] if label < len(classes) else label} {100 * scores[label]:.0f}\u00a0%"


def _curves(result):
    series = {
        name: [(255 * row["eps"], 100 * row["robust_accuracy"], *(100 * v for v in row["interval"])) for row in curve["rows"]]
        for name, curve in result["curves"].items()
    }
    told = "; ".join(f"{name} from {rows[0][1]:.0f} % to {rows[-1][1]:.0f} %" for name, rows in series.items())
    chart = svg.lines(
        series,
        title="Accuracy against eps",
        description=told,
        x="eps (grey levels of 255)",
        y="accuracy left (%)",
        y_range=(0, 100),
    )
    commands = [curve["command"] for curve in result["curves"].values()]
    return html.figure(chart, "What PGD leaves at each radius, with 95 % intervals.", "\n".join(commands))


def _transfer(result):
    sources = list(dict.fromkeys(r["source"] for r in result["transfer"]))
    victims = list(dict.fromkeys(r["victim"] for r in result["transfer"]))
    left = {(r["source"], r["victim"]): 100 * r["robust_accuracy"] for r in result["transfer"]}
    clean = {r["victim"]: 100 * r["clean_accuracy"] for r in result["transfer"]}
    chart = svg.heat(
        [[clean[v] for v in victims], *([left[s, v] for v in victims] for s in sources)],
        ["clean images", *sources],
        victims,
        title="Transfer",
        y="made against",
        x="shown to",
        description="Accuracy on clean images, and what is left of it, in percent, by source and victim.",
        unit=" %",
        zeros=True,
        most=100,
    )
    return html.figure(
        chart,
        "Accuracy (%) of each network (across) on the clean images, and what is left when images made against one network (down) "
        "are shown to it. int8 on int8 is the straight-through attack; float on int8 is transfer.",
        "\n".join(r["command"] for r in result["transfer"]),
    )


def _on_the_board(result):
    if not result["board"]:
        return html.note(f"The images were not shown to the board: {result['board_missing']}.", "skipped")
    rows = [
        [
            r["source"],
            r["n"],
            f"{100 * r['clean_accuracy']:.1f}",
            f"{100 * r['robust_accuracy']:.1f}",
            "no: " + r["different"] if r["different"] else "yes",
        ]
        for r in result["board"]
    ]
    return html.table(
        "The final images, rounded to 8 bits, replayed on the virtual board over its serial line",
        ["made against", "images", "clean %", "left on the board %", "same as simulated"],
        rows,
    ) + html.again(*(r["command"] for r in result["board"]))


def bitflip(story, result):
    """Random flips, the search, and the defences."""
    search = result["search"]
    random = [
        (row["flips"], *(100 * row[key] for key in ("median", "lowest", "highest")))
        for row in result["random"]["rows"]
        if row["median"] is not None
    ]
    series = {
        "at random (median, range)": random,
        "searched": [(row["flips"], 100 * row["accuracy"]) for row in search["rows"] if row["flips"]],
    }
    series = {name: rows for name, rows in series.items() if rows}
    count = search["rows"][-1]["flips"]
    told = f"{100 * result['before']:.1f} % before; {100 * search['accuracy_after']:.1f} % after {count} searched flips."
    chart = svg.lines(
        series,
        title="Accuracy against flipped bits",
        description=told,
        x="bits flipped (logarithmic)",
        y="accuracy (%)",
        log_x=True,
        y_range=(0, 100),
        rule=(100 * result["chance"], "guessing"),
    )
    ecc = result["ecc"]
    text = (
        f"Bits of the {result['scheme']} network's constants are flipped where they lie in memory. A search by gradients over "
        f"{search['images']} training images finds the ones that hurt; accuracies are of {result['n']:,} test images. In the "
        f"chip's ECC flash {ecc['corrected']} of the searched double words would be corrected, {ecc['nmi']} would stop the "
        f"board, {ecc['applied']} would pass."
    )
    commands = "\n".join((search["command"], result["random"]["command"]))
    flips = [[i + 1, f["tensor"], f["index"], f["bit"], f["old"], f["new"]] for i, f in enumerate(result["flips"])]
    return (
        html.paragraph(text)
        + _figures(html.figure(chart, f"Accuracy by flipped bits. {told}", commands, wide=True))
        + _defences(result)
        + "<details><summary>The searched flips</summary>"
        + html.table("The searched flips, in order", ["flip", "array", "index", "bit", "before", "after"], flips)
        + "</details>"
    )


def _defences(result):
    header = ["defence", "bytes", "notices", "numbers repaired", "attacked %", "repaired %"]
    rows = [
        [
            r["defence"],
            f"{r['bytes']:,}",
            "yes" if r["detected"] else "no",
            f"{r['repaired']:,}",
            f"{100 * r['accuracy_attacked']:.1f}",
            f"{100 * r['accuracy_repaired']:.1f}",
        ]
        for r in result["defences"]
    ]
    caption = f"Defences against the searched flips, modelled on this machine; accuracies of {result['n']:,} test images"
    return html.table(caption, header, rows) + html.again(result["defences_command"])


def defence(story, result):
    """What a running board makes of the flips, bare and defended."""
    text = (
        f"The {result['flips']} searched flips are made in the memory of a running board, whose constants lie in RAM; it then "
        f"classifies {result['n']} test images. A defence is C in the image and checks before every inference: CRC-32 finds and "
        "refuses to answer, RADAR sets a harmed group of weights to zero, ranges set a strange weight back to the nearest usual "
        "one, replicas vote over biases and tails."
    )
    header = [
        "defence",
        "flash B",
        "RAM B",
        "ms an image",
        "of it check",
        "before %",
        "after the flips %",
        "arrays found",
        "bytes repaired",
    ]
    rows = []
    for row in result["rows"]:
        report = row["report"] or {"found": "-", "repaired": "-"}
        rows.append(
            [
                row["defence"],
                f"{row['flash_bytes']:,}",
                f"{row['ram_bytes']:,}",
                f"{row['ms_per_image']:,.1f}",
                "-" if row["check_ms"] is None else f"{row['check_ms']:.1f}",
                f"{100 * row['accuracy_before']:.1f}",
                "no answer" if row["accuracy_after"] is None else f"{100 * row['accuracy_after']:.1f}",
                report["found"],
                report["repaired"],
            ]
        )
    commands = [row["command"] for row in result["rows"]]
    return (
        html.paragraph(text)
        + html.table(f"The same {result['flips']} flips in each of {len(rows)} firmware images", header, rows)
        + html.again(*commands, result["command"])
    )
