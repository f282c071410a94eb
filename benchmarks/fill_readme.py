"""Write the README's figures from the files in results/: python benchmarks/fill_readme.py

demo_cifar10.json is the results.json of `tinyvgg demo --data cifar10 --out demo`; attack_speed.json is by attacks.py; peers.json holds
figures of other projects, with their sources. A test compares the README with what this prints.
"""
import json
import re
from pathlib import Path

from tinyvgg import zoo

RESULTS = Path(__file__).resolve().parent / "results"
README = RESULTS.parent.parent / "README.md"


def blocks():
    """Return {name of a block of the README: its text}."""
    told, peers, speed = (json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
                          for name in ("demo_cifar10", "peers", "attack_speed"))
    return {"figures": figures(told["results"]), "beside": beside(told["results"], peers, speed), "zoo": the_zoo()}


def figures(r):
    """The figures of the story on CIFAR-10, each with its command."""
    schemes, pgd = {row["scheme"]: row for row in r["compress"]["rows"]}, {row["source"]: row for row in r["attack"]["pgd"]}
    built, run = ({row["name"]: row for row in r[stage]["rows"]} for stage in ("firmware", "board"))
    shown = {(row["source"], row["victim"]): row for row in r["attack"]["transfer"]}
    search, random = r["bitflip"]["search"], r["bitflip"]["random"]
    evaluated = r["evaluate"]
    rows = [["accuracy, float", f"{share(evaluated['accuracy'])} (95 % interval {interval(evaluated)}), {evaluated['n']:,} images",
             evaluated["command"]]]
    rows += [[f"accuracy, {name}", f"{share(row['accuracy'])} of {row['n']:,} images, {row['constants_bytes']:,} B of constants",
              row["command"]] for name, row in schemes.items() if name in ("none", "int8", "shared4", "shared3")]
    rows += [[f"firmware, {name}", f"{row['flash_bytes']:,} B of flash, {row['ram_bytes']:,} B of RAM", row["command"]]
             for name, row in built.items() if "elf" in row]
    rows += [[f"an image on the virtual board, {name}", f"{row['ms_per_image']:,.1f} ms, {row['cycles_per_image']:,.0f} cycles; "
              f"{share(row['agreement'], 0)} of {row['n']} answers are the simulation's bytes", row["command"]] for name, row in run.items()]
    rows += [[f"left by PGD-{r['attack']['steps']} at {r['attack']['eps']}, {name}",
              f"{share(row['robust_accuracy'])} of {share(row['clean_accuracy'])}, {row['n']} images", row["command"]]
             for name, row in pgd.items()]
    transfer = shown["float", "int8"]
    rows.append(["the float network's images shown to int8", f"{share(transfer['robust_accuracy'])} left", transfer["command"]])
    rows += [[f"the same on the board, made against {row['source']}", f"{share(row['robust_accuracy'])} left of "
              f"{share(row['clean_accuracy'])}, {row['n']} images", row["command"]] for row in r["attack"]["board"]]
    before, last = r["bitflip"]["before"], random["rows"][-1]
    rows.append([f"{search['rows'][-1]['flips']} searched bit flips, int8", f"{share(before)} to {share(search['accuracy_after'])}",
                 search["command"]])
    rows.append([f"{last['flips']:,} random bit flips, int8", f"{share(before)} to {share(last['median'])} (median)", random["command"]])
    return table(["what", "figure", "command"], [[a, b, f"`{c}`"] for a, b, c in rows])


def beside(r, peers, speed):
    """What this does beside the others, each number with its command or source."""
    levels = {(row["rules"], row["compression"]): row for row in r["analyze"]["rows"]}
    run, built = ([row for row in r[stage]["rows"] if row["scheme"] == "int8"] for stage in ("board", "firmware"))
    flash, times = (", ".join(texts) for texts in ([f"{row['flash_bytes']:,} B" for row in built],
                                                   [f"{row['ms_per_image']:,.0f} ms" for row in run]))
    nn, student, pgd = peers["cmsis_nn"], peers["student"], speed["rows"][0]
    none, high = (levels["xcubeai", level]["flash_bytes"] for level in ("none", "high"))
    rows = [
        ["needs", "numpy, numba, h5py, pyserial", "TensorFlow, cleverhans, X-CUBE-AI", "STM32CubeMX, a trained model",
         "TensorFlow, a trained model", "PyTorch, TensorFlow or JAX"],
        ["trains", "yes", "yes", "no", "no", "no"],
        ["compresses", "8 to 2 bits on every layer, within a budget; X-CUBE-AI's levels", "X-CUBE-AI's levels",
         "8 or 4 bits on dense layers; takes int8 models", "int8", "no"],
        ["light net, flash", f"{flash}: whole int8 images, the fastest first [1]", "X-CUBE-AI's",
         f"{none:,} B (none), {high:,} B (high), by its rules [2]", f"{nn['flash_kb']} KB [3]", "-"],
        ["light net, STM32L4R9 at 120 MHz", f"{times}: the same images, modelled [4]",
         f"{student['seconds_per_query']} s a query, wire and pause included [5]",
         f"ResNet-8 of {peers['xcubeai_resnet8']['mmac']} MMAC: {peers['xcubeai_resnet8']['ms']} ms, measured [6]",
         f"{nn['ms']} ms, modelled, without batch-norm [3]", "-"],
        ["host and board compared", "byte for byte", "by accuracy", "by its validation", "no", "-"],
        ["virtual board", "yes, the same ELF over its UART", "no", "no", "no", "-"],
        ["attacks on floats", "14, re-checked, with flags", "FGM, PGD on another network", "no", "no", "many"],
        [f"{pgd['work']}, a batch of {pgd['batch']} images, {pgd['clock']} time", f"{pgd['ours_ms']:,.0f} ms [7]", "-", "-", "-",
         ", ".join(f"{row['peer']} {row['peer_ms']:,.0f} ms" for row in speed["rows"]) + " [7]"],
        ["attacks on integers and board", "through the rounding, by scores, by labels, replayed", "no", "no", "no", "by scores or labels"],
        ["bit flips, ECC, defences in C", "yes", "described", "no", "no", "no"],
    ]
    notes = [", ".join(f"`{row['command']}`" for row in built), f"`{r['analyze']['command'].replace('RULES', 'xcubeai').replace('LEVEL', 'none')}`, and `high`; "
             "its runtime is an estimate", f"{nn['source']}", ", ".join(f"`{row['command']}`" for row in run) + ": zero wait states", f"{student['source']}",
             peers["xcubeai_resnet8"]["source"], f"`{speed['command']}`, one thread each, medians"]
    header = ["", "tinyvgg", "student project", "X-CUBE-AI", "TFLite Micro, CMSIS-NN", "cleverhans, foolbox"]
    return table(header, rows) + "\n\n" + "\n".join(f"{i}. {text}" for i, text in enumerate(notes, 1))


def the_zoo():
    """The zoo's cards in a sentence and a table."""
    cards = [zoo.card(name) for name in zoo.names()]
    light = next(card for card in cards if card["name"] == "light_cifar10")["test"]
    rows = [[f"[`{card['name']}`](tinyvgg/zoo/{card['name']}.md)", card["architecture"], f"{card['parameters']:,}",
             share(card["test"]["accuracy"]), interval(card["test"])] for card in cards]
    return (f"`light_cifar10` has {share(light['accuracy'])} test accuracy (95 % interval {interval(light)}; "
            "`tinyvgg evaluate light_cifar10 --data DATA`). DATA was\nCIFAR-10 whose pixels went through JPEG (quality 75), with 5,000 of "
            "the 10,000 test images: these figures are not comparable with ones on the\noriginal images. Each name leads to a card with "
            "the command that trained it; [the attacks' page](docs/attacks.md) says what attacks leave.\n\n"
            + table(["name", "network", "parameters", "test accuracy", "95 % interval"], rows))


def share(value, digits=2):
    """0.8702 -> "87.02 %"."""
    return f"{100 * value:.{digits}f} %"


def interval(row):
    """The 95 % interval in percent."""
    return " to ".join(f"{100 * v:.2f}" for v in row["interval"])


def table(header, rows):
    """A Markdown table."""
    return "\n".join("| " + " | ".join(row) + " |" for row in (header, ["---"] * len(header), *rows))


def filled(text):
    """Return the README's text with its blocks as the files have them."""
    for name, block in blocks().items():
        text = re.sub(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", lambda m, b=block: f"{m[1]}{b}\n{m[2]}", text, flags=re.S)
    return text


if __name__ == "__main__":
    README.write_text(filled(README.read_text(encoding="utf-8")), encoding="utf-8")
