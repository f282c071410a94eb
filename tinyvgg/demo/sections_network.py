"""Sections of the page about the network itself: training, accuracy, cost, compression. Plain data in, HTML out."""

from tinyvgg.report import html, svg

ST_LEVELS = {"none": "32-bit floats", "low": "32-bit floats; dense layers: 8-bit indices", "medium": "32-bit floats; dense layers: 4-bit indices",
             "high": "32-bit floats; dense layers: 4-bit indices"}
LEVELS = {"none": "8-bit integers (scheme int8 below)", "low": "8-bit integers (scheme int8 below)",
          "medium": "8-bit integers; dense layers: 4-bit indices", "high": "4-bit indices (scheme shared4 below)"}


def train(story, result):
    """The curves of the training, or why there are none."""
    if result["trained"]:
        text = (
            f"A network of {result['parameters']:,} parameters is trained. Of {result['images']:,} training images a tenth is kept aside for "
            "validation: the network does not learn from these, so they show how well it does on new images."
        )
        text += _lagging(result["history"])
    else:
        text = f"The network {result['model']} ({result['parameters']:,} parameters) was trained before and is used unchanged."
    parts, history = [html.paragraph(text)], result["history"]
    if not history:
        return parts[0] + html.note("There are no curves: the zoo does not keep the history of the training.") + html.again(*_commands(result))
    for name, factor, unit in (("loss", 1, ""), ("accuracy", 100, " (%)")):
        series = {
            label: [(row["epoch"], factor * row[key]) for row in history if row.get(key) is not None]
            for key, label in ((name, "training"), (f"val_{name}", "validation"))
        }
        series = {label: rows for label, rows in series.items() if rows}
        last = ", ".join(f"{label} {rows[-1][1]:.4g}{unit.replace('(%)', '%')}" for label, rows in series.items())
        chart = svg.lines(
            series, title=f"{name} by epoch", description=f"After the last epoch: {last}.", x="epoch", y=name + unit
        )
        parts.append(html.figure(chart, f"{name.capitalize()} by epoch. After the last: {last}.", *_commands(result)))
    return parts[0] + _figures(*parts[1:])


def _lagging(history):
    """Said where the first epoch does far worse in validation than in training."""
    if not history or (history[0].get("val_loss") or 0) < 2 * history[0]["loss"]:
        return ""
    return (" In the first epochs validation can be much worse than training, because of batch normalization: training uses the mean of "
            "each channel over the images of one step (a batch), validation an average over many batches, which needs some epochs to settle.")


def _commands(result):
    return [result["command"]] if result["command"] else []


def evaluate(story, result):
    """Confusion and accuracy by class."""
    low, high = (100 * v for v in result["interval"])
    text = (
        f"The network gets {100 * result['accuracy']:.2f} % of {result['n']:,} test images right (95 % interval {low:.2f} to {high:.2f} "
        f"%). The loss is {result['loss']:.4f}. The calibration error, how far the network's confidence is from its accuracy, is "
        f"{result['ece']:.4f}."
    )
    counts, classes = result["confusion"], result["classes"]
    wrong = max((counts[i][j], i, j) for i in range(len(counts)) for j in range(len(counts)) if i != j)
    most = (
        f"Most frequent mistake: {classes[wrong[1]]} was answered as {classes[wrong[2]]} ({wrong[0]} {'time' if wrong[0] == 1 else 'times'})."
        if wrong[0]
        else "No image is mistaken."
    )
    chart = svg.heat(
        counts,
        classes,
        classes,
        title="Confusion matrix",
        description=most,
        y="true class",
        x="answer",
        most=max(map(sum, counts)),
    )
    rows = sorted((r for r in result["per_class"] if r["accuracy"] is not None), key=lambda r: -r["accuracy"])
    bars = svg.bars(
        [(r["class"], 100 * r["accuracy"], "") for r in rows],
        title="Accuracy by class",
        x="accuracy (%)",
        number="{:.1f}",
        description=f"Best {rows[0]['class']}, worst {rows[-1]['class']}.",
    )
    return html.paragraph(text) + _figures(
        html.figure(chart, f"Rows are the true classes, columns the answers; numbers count images. {most}", result["command"]),
        html.figure(bars, "Accuracy by class, the best first.", result["command"]),
    )


def analyze(story, result):
    """What each level of compression would take, by both rules."""
    first = result["rows"][0]
    shown = [r for r in first["layers"] if r["weights_bytes"]]
    bars = [
        svg.bars(
            [(r["name"].partition("/")[0], r[key] / 1000, "") for r in shown],
            title=title,
            x=axis,
            number="{:,.1f}",
            description=f"{len(shown)} layers with weights.",
        )
        for key, title, axis in (
            ("weights_bytes", "Bytes by layer", "weights (KB, float32)"),
            ("macc", "MACC by layer", "MACC (thousands)"),
        )
    ]
    command = first["command"]
    text = (
        f"Before anything is built, tinyvgg estimates the memory that the network takes on the board {first['board']}. Its chip has "
        f"{first['board_flash_bytes']:,} bytes of flash and {first['board_ram_bytes']:,} bytes of RAM. A MACC is one multiplication and "
        "one addition; the column MACC says how many one image takes. X-CUBE-AI is a tool by ST, which makes the chip. The rows "
        "“X-CUBE-AI” are for the float network, counted by ST's rules; their flash and RAM are estimates, because ST does not publish "
        "the size of its code and where it places the layers' results. The rows “tinyvgg” are for networks of integers; their flash is "
        "without code. An index is the place of a weight's value in a short list (a codebook) of 16 or 256 values. Both tools name "
        "their levels of compression none, low, medium and high, but a name means something else in each: see the column “weights are "
        "stored in”. Here the rows “tinyvgg” have tinyvgg's levels; everywhere below, low, medium and high are X-CUBE-AI's. The two "
        "count parameters and MACC a little differently."
    )
    header = ["tool", "level", "weights are stored in", "parameters", "MACC", "weights (bytes)", "flash (bytes)", "RAM (bytes)", "fits the chip"]
    return (
        html.paragraph(text)
        + html.table("Flash and RAM by level of compression", header, _levels(result["rows"]))
        + html.again(*(r["command"] for r in result["rows"]))
        + _figures(
            html.figure(bars[0], f"Size of each layer's weights before compression, in layers that have any.{_names(shown)}", command),
            html.figure(bars[1], "MACC for one image in each layer with weights, as X-CUBE-AI counts them.", command),
        )
    )


def _names(layers):
    """What Keras' names of layers mean, if these have them."""
    return " Names are those of Keras: conv2d_1 is the second convolution." if any(r["name"] == "conv2d_1" for r in layers) else ""


def _levels(rows):
    """Cells of the rows; levels that come out alike share one."""
    found = {}
    for r in rows:
        numbers = tuple(f"{r[key]:,}" for key in ("parameters", "macc", "weights_bytes", "flash_bytes", "ram_bytes"))
        tool, meant = {"xcubeai": ("X-CUBE-AI", ST_LEVELS), "tinyvgg": ("tinyvgg", LEVELS)}[r["rules"]]
        found.setdefault((tool, meant[r["compression"]], *numbers, r["fits"]), []).append(r["compression"])
    return [[tool, " and ".join(levels), meant, *numbers, "yes" if fits else "no"] for (tool, meant, *numbers, fits), levels in found.items()]


def compress(story, result):
    """Accuracy against bytes."""
    rows = result["rows"]
    points = [
        (r["scheme"], r["constants_bytes"] / 1000, 100 * r["accuracy"], "integers" if r["integer"] else "floats",
         *(100 * v for v in r["interval"])) for r in rows
    ]
    best = max(rows, key=lambda r: r["accuracy"])
    small = min(rows, key=lambda r: r["constants_bytes"])
    told = (
        f"Sizes go from {max(p[1] for p in points):,.0f} KB down to {small['constants_bytes'] / 1000:,.0f} KB (scheme {small['scheme']}, "
        f"{100 * small['accuracy']:.2f} %). The highest accuracy is {100 * best['accuracy']:.2f} %."
    )
    chart = svg.scatter(
        points,
        title="Accuracy against bytes",
        description=told,
        x="constants (KB, logarithmic)",
        y="accuracy (%)",
        log_x=True,
        most=100,
    )
    cells = [
        [
            r["scheme"],
            "integers" if r["integer"] else "floats",
            f"{r['constants_bytes']:,}",
            f"{r['arena_bytes']:,}",
            f"{100 * r['accuracy']:.2f}",
            f"{100 * r['interval'][0]:.2f} to {100 * r['interval'][1]:.2f}",
        ]
        for r in rows
    ]
    text = (
        "The network is made smaller in several ways, called schemes. The scheme “none” is the float network, unchanged. The schemes "
        "“low”, “medium” and “high” are X-CUBE-AI's levels; they compute with floats (“high” does the same as “medium”). The scheme "
        "“int8” computes with 8-bit integers only; this page calls it the 8-bit network. “shared4” does so too, and stores each weight "
        "as a 4-bit index into a list of values (a codebook); “shared2”, “shared3” and “shared8” have indices of 2, 3 and 8 bits. "
        "(“shared8” saves nothing: in “int8” a weight has 8 bits too.) Constants are what stays in flash: mostly weights. The arena is "
        "the RAM for the layers' results. It is tinyvgg's arena, also for X-CUBE-AI's levels, so it differs from the RAM in the section "
        f"before. The network was not trained further after compression. Accuracies are of the first {rows[0]['n']:,} test images."
    )
    return (
        html.paragraph(text)
        + _figures(
            html.figure(
                chart,
                "Accuracy against size. Upright lines are 95 % intervals. The dashed line, in steps, joins the best trade-offs: no "
                f"other scheme is both smaller and more accurate than one of these. {told}",
                "\n".join(r["command"] for r in rows),
                wide=True,
            )
        )
        + html.table("Schemes", ["scheme", "arithmetic", "constants (bytes)", "arena (bytes)", "accuracy (%)", "95 % interval (%)"], cells)
    )


def _figures(*figures):
    return f'<div class="figures">{"".join(figures)}</div>'
