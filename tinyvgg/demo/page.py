"""The report page: the main figures at the top, a section for each stage, and at the end what is needed to repeat it."""

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


WORDS = {
    "accuracy": "The share of test images that get the right class. Training never sees the test images.",
    "arena": "One block of RAM in which the layers place their results; they reuse each other's place. In the C and the firmware it also "
             "holds the scratch.",
    "batch": "The images that one training step uses together.",
    "batch normalization": "A layer that brings the values of each channel to a mean near 0 and a spread near 1.",
    "bit flip": "A bit of memory that changes, by a fault or by an attacker. Bit 7 of an int8 weight is its sign.",
    "CRC-32": "A number computed from all bits of an array; if a bit changes, the number no longer fits.",
    "clean image": "An image that no attack has changed.",
    "gradient": "How much the loss changes with each weight (in training) or each pixel (in an attack).",
    "optimizer, schedule, warmup, dropout": "Settings of training. adamw is a form of gradient descent. cosine: the step length (learning "
                                            "rate) falls along half a cosine, after it rose during the epochs of warmup. Dropout switches values "
                                            "off at random (0: none).",
    "plan": "The choice of a kernel for each layer of a firmware.",
    "cycle": "One tick of the processor's clock; at 120 MHz there are 120 million a second.",
    "calibration error": "How far the network's confidence is from its accuracy: 0 if answers given with 90 % confidence are right 90 times out "
                         "of 100.",
    "codebook": "A few values that stand for all weights of a layer; each weight is stored as a short index into it (sharedN: N bits).",
    "constants": "What stays in flash: weights, codebooks and the like.",
    "ECC": "Error-correcting bits beside each 64-bit word of flash: one flipped bit is corrected, two stop the processor, more may pass unnoticed.",
    "float network": "The network as it was trained, with 32-bit floating-point numbers.",
    "eps": "The largest change of any pixel value that an attack may make. Pixel values are levels from 0 to 255: 8/255 means eight levels.",
    "firmware": "The program on the microcontroller: the network, the code that computes it, and the code that answers the computer.",
    "flash, RAM": "Flash keeps its content without power: code and weights. RAM is the working memory.",
    "8-bit network, int8": "The network with whole numbers of 8 bits (int8, -128 to 127) in place of 32-bit floats.",
    "interval": "With few images an accuracy is uncertain: in 95 of 100 such measurements the true value lies within the interval.",
    "kernel": "Here: the code that computes one layer (not a convolution's weights). direct multiplies as the definition does; winograd2 and "
              "winograd4 need fewer multiplications; _held keeps weights in RAM. All give the same numbers; faster ones take more memory.",
    "loss": "How wrong the network's probabilities are; training makes it small.",
    "MACC": "One multiplication and one addition. The number of MACC for one image says how much work a network takes.",
    "norm, linf": "How the size of a change is measured. linf: by the pixel value that changes most, which eps limits.",
    "PGD": "An attack that takes many small steps along the gradient. After each step the image stays within eps of the original.",
    "serial line": "The cable between board and computer, over which images go to the board and answers come back.",
    "SHA-256": "A fingerprint of a file: two files with the same one are the same.",
    "scratch": "RAM that a kernel needs only while it runs.",
    "straight-through": "Rounded numbers do not change when the input changes a little, so they have no gradient. "
                        "The attack computes one as if nothing were rounded.",
    "transfer": "Images made to fool one network are shown to another.",
    "Winograd": "A way to compute a 3x3 convolution with fewer multiplications.",
    "B, KB, KiB": "Bytes, 1,000 bytes and 1,024 bytes.",
    "epoch": "One pass through all training images.",
    "zig": "A compiler of several languages, C among them.",
    "X-CUBE-AI": "ST's own tool that turns a network into C. This page counts by its rules too, for comparison.",
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
            f"This page follows one neural network ({which if story.settings.model is None else story.settings.model}) that sorts "
            f"small images (the data set {dataset.name}) into {dataset.n_classes} classes. It is trained and measured. It is compressed, so "
            "that it needs less memory and time, and runs on a simulated microcontroller (the virtual board). Then it is attacked: by images "
            "that were changed a little, and by bits flipped in its memory."
        ),
        '<p>Under a chart or table, “Repeat it” shows the command that makes it again; where there are several, each makes a part of it. '
        'In some commands, --resume takes the settings of this page, and --again runs a stage although it is done. Words such as '
        'flash, MACC or PGD are explained <a href="#words">at the end of the page</a>.</p>',
    ]
    if story.settings.quick:
        parts.append(html.note("A quick run: so few images and steps that it only shows that everything works. Its figures mean nothing.", "skipped"))
    if r["train"] and r["train"]["note"]:
        parts.append(html.note(f"About the images: {r['train']['note']}"))
    return "".join(parts) + html.tiles(list(_tiles(r)))


def _tiles(r):
    """The figures that matter most, of the stages that are done."""
    if r["evaluate"]:
        yield _percent(r["evaluate"]["accuracy"], 2), f"accuracy of the float network on {r['evaluate']['n']:,} test images"
    if r["compress"]:
        row = next(row for row in r["compress"]["rows"] if row["scheme"] == "int8")
        yield _percent(row["accuracy"], 2), f"accuracy of the 8-bit network on {row['n']:,} of these images"
    if r["firmware"] and "elf" in r["firmware"]["rows"][0]:
        yield f"{r['firmware']['rows'][0]['flash_bytes'] / 1000:,.0f} KB", "of flash memory for the fastest firmware: the network and its code"
    if r["board"] and r["board"]["rows"]:
        what = "time for one image on the chip at 120 MHz, with this firmware (computed, not measured)"
        yield f"{r['board']['rows'][0]['ms_per_image']:,.0f} ms", what
    if r["attack"]:
        for row in r["attack"]["pgd"]:
            name = {"int8": "8-bit"}.get(row["source"], row["source"])
            what = f"accuracy of the {name} network on {row['n']:,} images under attack (PGD, eps {r['attack']['eps']})"
            yield _percent(row["robust_accuracy"]), what
    if r["bitflip"]:
        search = r["bitflip"]["search"]
        yield (
            _percent(search["accuracy_after"]),
            f"accuracy of the 8-bit network after {search['rows'][-1]['flips']} bit flips that an attacker chose, on {r['bitflip']['n']:,} images",
        )


def _percent(value, digits=1):
    return f"{100 * value:.{digits}f} %"


def _skipped(told):
    again = f" To get it: {told['install']}, then run the same command again." if told["install"] else ""
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
        + html.paragraph(f"In an empty folder, this command makes the whole page again. All random numbers come from seed {settings['seed']}:")
        + f"<pre><code>{escape(' '.join(words))}</code></pre>"
        + html.table("Stages and the seconds that they took here", ["stage", "state", "seconds", "command that repeats it"], stages)
        + html.table("Fingerprints (SHA-256) of the data and models on this page", ["what", "SHA-256"], hashes)
        + html.table("Versions", ["package", "version"], versions)
        + '<h3 id="words">Words of this page</h3>'
        + html.terms(dict(sorted(WORDS.items(), key=lambda item: item[0].lower())))
    )


def _hashes(story, summary):
    r = story.results
    yield "images and labels", summary["data_sha256"]
    if r["train"]:
        yield "network file", r["train"]["sha256"]
        yield "network weights", r["train"]["weights_sha256"]
    for row in (r["compress"] or {"rows": []})["rows"]:
        yield f"model of scheme {row['scheme']}", row["sha256"]
