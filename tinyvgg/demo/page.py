"""The page of a story: what matters most at the top, a section a stage, and what is needed to repeat it at the end."""

import shlex
from html import escape

from tinyvgg.demo import sections_attacks, sections_board, sections_network
from tinyvgg.report import html
from tinyvgg.report.record import write_bytes

SECTIONS = {
    "train": ("Training", sections_network.train),
    "evaluate": ("Accuracy", sections_network.evaluate),
    "analyze": ("Cost on the board", sections_network.analyze),
    "compress": ("Compression", sections_network.compress),
    "codegen": ("C code", sections_board.codegen),
    "firmware": ("Firmware", sections_board.firmware),
    "board": ("Virtual board", sections_board.board),
    "attack": ("Attacks", sections_attacks.attack),
    "bitflip": ("Bit flips", sections_attacks.bitflip),
    "defence": ("Defences on the board", sections_attacks.defence),
}


def write_page(story, summary):
    """Write report.html from a Story's results and the summary of `demo`."""
    sections = []
    for name, (heading, section) in SECTIONS.items():
        told, result = summary["stages"][name], story.results[name]
        text = section(story, result) if result is not None else _skipped(told)
        sections.append((name, heading, text))
    sections.append(("record", "Record", _record(story, summary)))
    write_bytes(story.out / "report.html", html.page("A small network, from images to the board", sections, lead=_lead(story)))


def _lead(story):
    r, dataset = story.results, story.dataset
    which = "the zoo's" if story.chosen else "trained here"
    parts = [
        html.paragraph(
            f"One network ({which if story.settings.model is None else story.settings.model}), {dataset.name} images "
            f"in {dataset.n_classes} classes: trained, measured, compressed, written as C, run on a virtual STM32L4R9, "
            "attacked, and harmed bit by bit. Every figure names the command that makes it again."
        )
    ]
    if story.settings.quick:
        parts.append(html.note("A quick story: so few images and steps that it shows only that everything works.", "skipped"))
    if r["train"] and r["train"]["note"]:
        parts.append(html.note(f"About the images: {r['train']['note']}"))
    return "".join(parts) + html.tiles(list(_tiles(r)))


def _tiles(r):
    """The figures that matter most, of the stages that are done."""
    if r["evaluate"]:
        yield _percent(r["evaluate"]["accuracy"]), f"accuracy of the float network on {r['evaluate']['n']:,} test images"
    if r["compress"]:
        row = next(row for row in r["compress"]["rows"] if row["scheme"] == "int8")
        yield _percent(row["accuracy"]), f"accuracy of the 8-bit network, on {row['n']:,}"
    if r["firmware"] and "elf" in r["firmware"]["rows"][0]:
        yield f"{r['firmware']['rows'][0]['flash_bytes'] / 1000:,.0f} KB", "flash of its fastest image, code and all"
    if r["board"] and r["board"]["rows"]:
        yield f"{r['board']['rows'][0]['ms_per_image']:,.0f} ms", "an image at 120 MHz (modelled cycles)"
    if r["attack"]:
        for row in r["attack"]["pgd"]:
            yield _percent(row["robust_accuracy"]), f"of the {row['source']} network is left by PGD at {r['attack']['eps']}"
    if r["bitflip"]:
        search = r["bitflip"]["search"]
        yield (
            _percent(search["accuracy_after"]),
            f"of the 8-bit network is left by {search['rows'][-1]['flips']} searched bit flips",
        )


def _percent(value):
    return f"{100 * value:.1f} %"


def _skipped(told):
    again = f" To have it: {told['install']}, then the same command." if told["install"] else ""
    return html.note(f"Skipped: {told['skipped']}.{again}", "skipped")


def _record(story, summary):
    """Settings, stages, versions, hashes."""
    settings = summary["settings"]
    words = [
        "tinyvgg demo",
        f"--data {story.data}",
        *([f"--model {shlex.quote(settings['model'])}"] if settings["model"] else []),
        *(["--quick"] if settings["quick"] else []),
        *([f"--seed {settings['seed']}"] if settings["seed"] else []),
        f"--out {story.inside()}",
    ]
    stages = [
        [
            name,
            "done" if told["done"] else "skipped",
            f"{told['seconds']:.1f}" if told["done"] else "-",
            story.again(name),
        ]
        for name, told in summary["stages"].items()
    ]
    hashes = [[what, html.Html(f'<code class="hash">{escape(str(value))}</code>')] for what, value in _hashes(story, summary)]
    versions = [[name, version] for name, version in {**summary["versions"], **summary["tools"]}.items()]
    failed = "".join(html.note(f"A check failed: {text}.", "skipped") for text in summary["failed"])
    return (
        failed
        + html.paragraph(f"The whole story again; all random choices come from seed {settings['seed']}:")
        + f"<pre><code>{escape(' '.join(words))}</code></pre>"
        + html.table("Stages and the seconds that they took here", ["stage", "state", "seconds", "anew"], stages)
        + html.table("SHA-256 of what the figures are of", ["what", "SHA-256"], hashes)
        + html.table("Versions", ["package", "version"], versions)
    )


def _hashes(story, summary):
    r = story.results
    yield "images and labels", summary["data_sha256"]
    if r["train"]:
        yield "network file", r["train"]["sha256"]
        yield "network weights", r["train"]["weights_sha256"]
    for row in (r["compress"] or {"rows": []})["rows"]:
        yield f"{row['scheme']}, its graph", row["sha256"]
