"""The figures of README.md and docs/figures.md from the files in results/, and docs/zoo.md's table; fill_docs.py puts them into the pages.

demo_cifar10.json is the results.json of `tinyvgg demo --data cifar10 --out demo-cifar10`, accuracy.json is by record.py, of that story's
networks; cortex_m4.json and attack_speed.json are by the scripts of these names; peers.json holds figures of other projects, with their
sources.
"""
import json
import math
from pathlib import Path

from tinyvgg import attacks, zoo
from tinyvgg.report.tables import markdown

RESULTS = Path(__file__).resolve().parent / "results"
README = RESULTS.parent.parent / "README.md"
FIGURES = README.parent / "docs" / "figures.md"
LIGHT = "light_cifar10"


def kept(name):
    """What lies in a result file."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def figures():
    """The figures of the story on CIFAR-10, each with its command; accuracies of its networks on other numbers of images."""
    r, also = kept("demo_cifar10")["results"], kept("accuracy")["rows"]
    schemes, pgd = {row["scheme"]: row for row in r["compress"]["rows"]}, {row["source"]: row for row in r["attack"]["pgd"]}
    built, run = ({row["name"]: row for row in r[stage]["rows"]} for stage in ("firmware", "board"))
    shown = {(row["source"], row["victim"]): row for row in r["attack"]["transfer"]}
    search, random = r["bitflip"]["search"], r["bitflip"]["random"]
    rows = [[f"accuracy, {name}", f"{share(row['accuracy'])} (95 % interval {interval(row)}), {row['n']:,} images", row["command"]]
            for name, row in (("float", r["evaluate"]), ("int8", also["int8"]))]
    rows.append(["accuracy, float, on the images of the rows below", f"{share(also['float']['accuracy'])} of {also['float']['n']:,} images",
                 also["float"]["command"]])
    rows += [[f"accuracy, {name}", f"{share(row['accuracy'])} of {row['n']:,} images, {row['constants_bytes']:,} B of constants",
              row["command"]] for name, row in schemes.items() if name in ("none", "int8", "shared4", "shared3")]
    rows += [[f"firmware, {name}", f"{row['flash_bytes']:,} B of flash, {row['ram_bytes']:,} B of RAM", row["command"]]
             for name, row in built.items() if "elf" in row]
    rows += [[f"an image on the virtual board, {name}", f"{row['ms_per_image']:,.1f} ms, {row['cycles_per_image']:,.0f} cycles; "
              f"{round(row['agreement'] * row['n'])} of {row['n']} answers are the simulation's bytes{few(row['n'])}", row["command"]]
             for name, row in run.items()]
    rows += [[f"still right under PGD-{r['attack']['steps']} ({r['attack']['eps']}), {name}",
              f"{share(row['robust_accuracy'])} of {share(row['clean_accuracy'])}, {row['n']} images", row["command"]]
             for name, row in pgd.items()]
    transfer = shown["float", "int8"]
    rows.append(["the float network's images shown to int8", f"{share(transfer['robust_accuracy'])} still right", transfer["command"]])
    rows += [[f"the same on the board, made against {row['source']}", f"{share(row['robust_accuracy'])} still right, of "
              f"{share(row['clean_accuracy'])}, {row['n']} images", row["command"]] for row in r["attack"]["board"]]
    before, last = r["bitflip"]["before"], random["rows"][-1]
    rows.append([f"{search['rows'][-1]['flips']} chosen bit flips, int8", f"{share(before)} to {share(search['accuracy_after'])}",
                 search["command"]])
    rows.append([f"{last['flips']:,} random bit flips, int8", f"{share(before)} to {share(last['median'])} (median)", random["command"]])
    return markdown(["what", "figure", "command"], [[a, b, f"`{c}`"] for a, b, c in rows])


def beside():
    """What this does beside the others, each number with its command or source."""
    r, peers, speed, cycles = kept("demo_cifar10")["results"], kept("peers"), kept("attack_speed"), kept("cortex_m4")
    levels = {(row["rules"], row["compression"]): row for row in r["analyze"]["rows"]}
    run, built = ([row for row in r[stage]["rows"] if row["scheme"] == "int8"] for stage in ("board", "firmware"))
    flash, times = (", ".join(texts) for texts in ([f"{row['flash_bytes']:,} B" for row in built],
                                                   [f"{row['ms_per_image']:,.0f} ms" for row in run]))
    nn, student, pgd = peers["cmsis_nn"], peers["student"], speed["rows"][0]
    none, high = (levels["xcubeai", level]["flash_bytes"] for level in ("none", "high"))
    rows = [
        ["needs", "numpy, numba, h5py, pyserial", "TensorFlow, cleverhans, X-CUBE-AI", "STM32CubeMX, a trained model",
         "a C compiler, an int8 model", "PyTorch, TensorFlow or JAX"],
        ["trains", "yes", "yes", "no", "no", "no"],
        ["compresses", "8 to 2 bits on every layer, within a budget; X-CUBE-AI's levels", "X-CUBE-AI's levels",
         "8 or 4 bits on dense layers; takes int8 models", "no, takes int8 models", "no"],
        ["light net, flash", f"{flash}: whole int8 firmwares, the fastest first [1]", "X-CUBE-AI's",
         f"{none:,} B (none), {high:,} B (high), by its rules [2]", f"{nn['flash_kb']} KB, recorded once [3]", "-"],
        ["light net, STM32L4R9 at 120 MHz",
         f"{calibrated(cycles)}, calibrated on real chips [4]; {times} for the three firmwares above at zero wait states",
         f"{student['seconds_per_query']} s a query, wire and pause included [5]",
         "-", f"{nn['ms']} ms, modelled once at zero wait states, without batch-norm [3]", "-"],
        [f"ResNet-8 of {peers['xcubeai_resnet8']['mmac']} MMAC, same core and clock", f"{calibrated(cycles, 'resnet8')} [4]", "-",
         f"{peers['xcubeai_resnet8']['ms']} ms, measured [6]", f"{next(r['ms'] for r in peers['resnet8'] if 'microTVM' in r['what'])} ms in "
         "microTVM, measured [6]", "-"],
        ["host and board compared", "byte for byte", "by accuracy", "by its validation", "no", "-"],
        ["virtual board", "yes, the same ELF over its UART", "no", "no", "no", "-"],
        ["attacks on floats", f"{len(set(attacks.ATTACKS) - {'noise', 'ladder'})}, re-checked, with flags",
         "FGM, PGD on another network", "no", "no", "many"],
        [f"{pgd['work']}, a batch of {pgd['batch']} images, {pgd['clock']} time", f"{pgd['ours_ms']:,.0f} ms [7]", "-", "-", "-",
         ", ".join(f"{row['peer']} {row['peer_ms']:,.0f} ms" for row in speed["rows"]) + " [7]"],
        ["attacks on integers and board", "through the rounding, by scores, by labels, replayed", "no", "no", "no", "by scores or labels"],
        ["bit flips, ECC, defences in C", "yes", "described", "no", "no", "no"],
    ]
    notes = [", ".join(f"`{row['command']}`" for row in built),
             f"`{levels['xcubeai', 'none']['command']}`, and `high`; its runtime is an estimate", nn["source"],
             f"`{cycles['command']}`; zero wait states: " + ", ".join(f"`{row['command']} --flash-model none`" for row in run),
             student["source"], peers["xcubeai_resnet8"]["source"], f"`{speed['command']}`, one thread each, medians"]
    header = ["", "tinyvgg", "student project", "X-CUBE-AI", "CMSIS-NN", "cleverhans, foolbox"]
    return markdown(header, rows) + "\n\n" + "\n".join(f"{i}. {text}" for i, text in enumerate(notes, 1))


def calibrated(cycles, model="light", *, banks=2):
    """The fastest plan of a network as the default build has it, with the flash as silicon runs it: two banks, and one (or one alone)."""
    found = {row["bank"]: row for row in cycles["rows"] if row.get("bank") and row["code"] == "sram2"
             and (row["model"], row["plan"], row["compiler"]) == (model, "fastest", "zig")}
    dual, single = found["dual"], found["single"]
    if banks == 1:
        return f"{single['ours_ms']:,.0f} ms ± {single['ms_error']} %"
    return f"{dual['ours_ms']:,.0f} ms ± {dual['ms_error']} %, {single['ours_ms']:,.0f} ms with the flash as one bank"


def three():
    """The figures that matter, each with its command: of accuracy, speed on a computer and on the chip, attacks."""
    also, cycles, peers, speed = kept("accuracy")["rows"], kept("cortex_m4"), kept("peers"), kept("attack_speed")
    many = kept("train_step_networks")
    work, network = many["slowest"]["work"].split("-", 1)
    work = {"train": "training", "infer": "answering", "pgd": "attacking"}[work]
    light, pgd, st = zoo.card(LIGHT)["test"], speed["rows"][0], peers["xcubeai_resnet8"]
    others = ", ".join(f"{row['peer']} {row['peer_ms']:,.0f} ms" for row in speed["rows"])
    return (f"- **Accuracy**: the network `{LIGHT}` (0.4 million parameters) has\n"
            f"  {share(light['accuracy'])} test accuracy (95 % interval {interval(light)}; `tinyvgg evaluate {LIGHT} --data cifar10`)\n"
            f"  on {light['n']:,} images of CIFAR-10, small photographs ([stored as JPEG](#limits)). With 8-bit integers it has "
            f"{share(also['int8']['accuracy'])}.\n"
            f"- **Time** for one image on the chip at 120 MHz, computed for tinyvgg's code: this network takes "
            f"{calibrated(cycles).partition(',')[0]}; ResNet-8\n  of the benchmark MLPerf Tiny takes {calibrated(cycles, 'resnet8', banks=1)}. "
            f"With X-CUBE-AI's code (9.0) ResNet-8 takes {st['ms']} ms,\n  measured by ST on the same core and clock "
            "([how](docs/cortex-m4.md#again)).\n"
            f"- **Speed**: {many['geometric_mean']:.2f} times PyTorch's on seven common networks (geometric mean; slowest: {work} `{network}`,\n"
            f"  {many['slowest']['ratio']:.2f}; [how](docs/fast-kernels.md#compared-with-pytorch)).\n"
            f"- **Attack**: PGD with 40 steps on {pgd['batch']} images takes {pgd['ours_ms']:,.0f} ms of processor time, on a network "
            f"like `{LIGHT}`\n  (with {others}; [how](docs/attacks.md#speed)).")


def limits():
    """How far the modelled milliseconds may be from silicon."""
    kept_out = kept("silicon")["facts"]["kept_out"]
    return ("- No real board was at hand. The virtual board counts instructions exactly; its times come from a model, fitted to published\n"
            f"  measurements. For {kept_out['images']} programs that were not used in the fit, the times are off by {kept_out['rms']:.1f} % "
            f"(root mean square),\n  {kept_out['largest']:.1f} % at most, rounded up to ± {math.ceil(kept_out['largest'])} % "
            "([how](docs/virtual-board.md)).")


def the_zoo():
    """The zoo in a sentence; docs/zoo.md has all entries."""
    return f"[The zoo](docs/zoo.md) has {len(zoo.names())} trained networks. Every verb takes their names as a model, such as `{LIGHT}`."


def entries():
    """The cards of the zoo, best first."""
    cards = sorted(map(zoo.card, zoo.names()), key=lambda card: -card["test"]["accuracy"])
    rows = [[f"[`{card['name']}`](../tinyvgg/zoo/{card['name']}.md)", f"{100 * card['test']['accuracy']:.2f}", interval(card["test"]),
             f"{card['test']['loss']:.3f}", f"{card['test']['ece']:.3f}", f"{card['parameters']:,}", f"{card['hours']:.2f}"]
            for card in cards]
    return markdown(["entry", "test accuracy, %", "95 % interval", "loss", "calibration error", "parameters", "hours"], rows,
                    right=[False] + 6 * [True])


def few(n):
    """Said of so few images that their share of right answers says nothing."""
    return " (too few for an accuracy)" if n < 30 else ""


def share(value, digits=2):
    """0.8702 -> "87.02 %"."""
    return f"{100 * value:.{digits}f} %"


def interval(row):
    """The 95 % interval in percent."""
    return " to ".join(f"{100 * v:.2f}" for v in row["interval"])
