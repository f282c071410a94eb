"""Sections of the page about attacks and bit flips. Plain data in, HTML out."""

from html import escape

import numpy as np

from tinyvgg import attacks
from tinyvgg.demo.attack import RESISTS
from tinyvgg.demo.sections_network import _figures
from tinyvgg.report import html, svg

SHOWN = 8


def attack(story, result):
    """PGD, curves, transfer, the board, and some images."""
    text = (
        "The attack PGD changes the pixels until the answer is wrong. It knows the network. In training, the gradient tells how to "
        f"change each weight; here it tells how to change each pixel. The attack takes up to {result['steps']} steps of "
        f"{result['step']}: a step changes each pixel value by that share of its range (0 to 255). In all, a value changes by at most "
        f"{result['eps']} (called eps), which is hard to see. The 8-bit network rounds its numbers, so it has no useful gradient; the "
        "attack computes one as if nothing were rounded (straight-through). Transfer means: images made to fool one network are shown "
        "to another."
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
    header = ["network", "images", "right before (%)", "right under PGD (%)", "95 % interval (%)", "gradients computed", "seconds"]
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
    caption = f"Accuracy before and under PGD (eps {result['eps']}); a gradient is that of one image in one step"
    return html.table(caption, header, rows) + "".join(html.note(f"Flag: {flag}.") for flag in flags)


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
        f"Attacked images, three pictures each: the clean image, the attacked one, and their difference enlarged (grey: no change). "
        f"Below stand the float network's answer and its confidence. No value changes by more than {result['eps']}."
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
        x="eps (of 255)",
        y="accuracy (%)",
        y_range=(0, 100),
    )
    commands = [curve["command"] for curve in result["curves"].values()]
    row = next(iter(result["curves"].values()))["rows"][-1]
    caption = (
        f"Accuracy under PGD against the largest change of a pixel value (eps), with {row['steps']} steps on {row['n']} images: fewer "
        "than in the table. Bands are 95 % intervals."
    )
    if RESISTS in series:
        caption += f" {RESISTS}, a network of the zoo, was trained on attacked images (adversarial training): it gets fewer clean images right."
    return html.figure(chart, caption, "\n".join(commands))


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
        description="Accuracy on clean images and on attacked ones, in percent, by source and victim.",
        unit=" %",
        zeros=True,
        most=100,
    )
    return html.figure(
        chart,
        f"Accuracy of the network named below each column, on {result['pgd'][0]['n']} images. First row: clean images. Other rows: "
        "images made against the network named on the left. Row int8, column int8: the 8-bit network under its own attack. Row float, "
        "column int8: transfer from the float network to the 8-bit one.",
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
        "Attacked images, rounded to whole levels (0 to 255), shown to the virtual board; the firmware is int8_fast",
        ["made against", "images", "right before (%)", "right on the board (%)", "same answers as in Python"],
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
        f"random flips (median, range of {story.sizes.draws} draws)": random,
        "chosen flips": [(row["flips"], 100 * row["accuracy"]) for row in search["rows"] if row["flips"]],
    }
    series = {name: rows for name, rows in series.items() if rows}
    count = search["rows"][-1]["flips"]
    told = f"{100 * result['before']:.1f} % before; {100 * search['accuracy_after']:.1f} % after {count} chosen flips."
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
        "Bits of the 8-bit network's weights are flipped in memory, at random or chosen. The chosen ones come from a "
        f"search: gradients over {search['images']} training images tell which flips hurt most. Accuracies are of {result['n']:,} test "
        "images. RAM has no error correction, so here all flips take effect. The chip's flash has it: error-correcting bits "
        f"(ECC) beside every 64 bits, called a word. In flash the {count} chosen flips would lie in "
        f"{ecc['corrected'] + ecc['nmi'] + ecc['applied']} words. ECC would correct {_words(ecc['corrected'])} with one flip, would stop "
        f"the board because of {_words(ecc['nmi'])} with two flips, and could miss {_words(ecc['applied'])} with three or more."
    )
    commands = "\n".join((search["command"], result["random"]["command"]))
    flips = [[i + 1, f["tensor"], f["index"], f["bit"], f["old"], f["new"]] for i, f in enumerate(result["flips"])]
    return (
        html.paragraph(text)
        + _figures(html.figure(chart, f"Accuracy against the number of flipped bits. {told} {_drawn(story, result)}", commands, wide=True))
        + _defences(result)
        + "<details><summary>The chosen flips</summary>"
        + html.table("The chosen flips, in order", ["flip", "array", "index", "bit", "before", "after"], flips)
        + html.again(search["command"])
        + "</details>"
    )


def _words(n):
    return f"{n} {'word' if n == 1 else 'words'}"


def _drawn(story, result):
    """What the line of random flips and the dotted line are."""
    return f"Random flips: median and range of {story.sizes.draws} draws. Dotted: guessing, {100 * result['chance']:g} %."


def _defences(result):
    header = ["defence", "extra memory (bytes)", "notices the flips", "weights changed by the repair", "accuracy after the flips (%)",
              "accuracy after repair (%)"]
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
    caption = f"Defences against the chosen flips, computed in Python; accuracies of {result['n']:,} test images"
    said = _recovers_nothing([(r["defence"], r["detected"], r["accuracy_repaired"] - r["accuracy_attacked"]) for r in result["defences"]])
    text = (
        "A defence checks arrays and repairs what it can. An array is a layer's weights, its biases, or other constants. The "
        "defence “crc” (CRC-32) notices that an array changed, and repairs nothing. “radar” divides a layer's weights into equal groups "
        "of at most 128. (The number of groups is a multiple of 8: 640 weights are 8 groups of 80; neighbours are in different groups.) It "
        "keeps two check bits for each group, and sets all weights of a damaged group to zero. "
        "“ranges” keeps the smallest and the largest of every 32 neighbouring "
        "weights; a weight outside this range is set to the nearer of the two. “replicas” keeps two copies of the small arrays (all but "
        "the weights) and takes the majority of the three."
    )
    return html.paragraph(text) + html.table(caption, header, rows) + said + html.again(result["defences_command"])


def _recovers_nothing(rows):
    """Name the defences that win no accuracy back: [(defence, whether it notices, accuracy won)]."""
    told = [f"{name} ({'notices the flips, repairs nothing' if noticed else 'does not notice these flips'})"
            for name, noticed, won in rows if won <= 0]
    return html.note(f"These recover no accuracy: {'; '.join(told)}.", "skipped") if told else ""


def defence(story, result):
    """What a running board makes of the flips, bare and defended."""
    text = (
        f"Now a firmware that keeps its weights in RAM runs on the virtual board. The {result['flips']} chosen flips are made in that "
        "RAM, by commands over the serial line that only a firmware built with --memory-access obeys. "
        f"Then the board classifies {result['n']} test images, so one image counts {100 / result['n']:.1f} %. The defences are "
        "those of the section before, now as code in the firmware: it checks the weights before every image. With “crc” the board "
        "refuses to answer when an array has changed. All these firmwares use the kernels named direct. Weights in RAM are read without "
        "the delays of flash, so an image takes less time than with the same kernels and weights in flash."
    )
    header = [
        "defence",
        "flash (B)",
        "RAM (B)",
        "ms for one image",
        "check (ms), included",
        "right before (%)",
        "right after the flips (%)",
        "damaged arrays found",
        "bytes repaired",
    ]
    rows = []
    for row in result["rows"]:
        report = row["report"] or {"found": "-", "repaired": "-"}
        rows.append(
            [
                {"none": "no defence"}.get(row["defence"], row["defence"]),
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
    bare = next((r["accuracy_after"] for r in result["rows"] if r["defence"] == "none"), result["rows"][0]["accuracy_after"])
    nothing = _recovers_nothing([(r["defence"], bool(r["report"] and r["report"]["found"]), r["accuracy_after"] - bare)
                                 for r in result["rows"][1:] if r["accuracy_after"] is not None and bare is not None])
    return (
        html.paragraph(text)
        + html.table(f"The same {result['flips']} flips in each of {len(rows)} firmwares", header, rows)
        + nothing
        + html.again(*commands, result["command"])
    )
