"""Make a zoo entry from a training run: python -m tinyvgg.zoo.pack RUN NAME --data DATA [--after RUN1] [--note "..."] [--replace]

Evaluates the run's model on the test images of DATA and writes NAME.h5 (without optimizer), NAME.json and NAME.md. --after RUN1:
the run whose weights this run began with, or which was its teacher; the card then has both commands and histories. Several runs in a
chain: --after for each, the first one first. Other teachers must be entries of the zoo, so that anyone can repeat the command.
"""
import argparse
import json
import sys
from pathlib import Path

from tinyvgg import data, zoo
from tinyvgg.errors import DataError, FormatError, OptionError, TinyVGGError
from tinyvgg.io import load_model, save_model
from tinyvgg.report.record import read_lines, sha256_arrays, sha256_file, versions, write_bytes, write_json
from tinyvgg.train import evaluate
from tinyvgg.zoo import FOLDER


def pack(run, name, data_spec, *, after=(), note="", folder=FOLDER, replace=False):
    """Write the entry `name` from the folder of a finished run (and the run or runs before it); return its card.

    Raises OptionError if there is such an entry and not `replace`, FormatError for a folder that is not a run of the command
    line, DataError for data on which the run was not trained, or without test images.
    """
    before = [after] if isinstance(after, str | Path) else list(after or ())
    folder, runs = Path(folder), [Path(part) for part in (*before, run)]
    file = folder / f"{name}.h5"
    if not name.isidentifier():
        raise OptionError(f"{name!r} cannot be the name of an entry; expected letters, digits and _", "my_light")
    if file.exists() and not replace:
        raise OptionError(f"the zoo has an entry {name} already", "another name, or --replace")
    configs = [_config(part) for part in runs]
    model, dataset = load_model(runs[-1] / "model.h5"), _tested(data_spec, configs)
    result = evaluate(model, *dataset.part("test"), classes=dataset.classes)
    known = _known(runs[:-1], name)
    for config in configs:
        _name_sources(config, known)
    history = _training(runs, configs)
    save_model(model, file)
    card = {"name": name, "sha256": sha256_file(file), "weights_sha256": sha256_arrays(*model.get_weights()),
            "architecture": configs[-1]["settings"]["arch"], **_widened(configs), "parameters": model.count_params(),
            "input_range": list(model.input_range), **history, "data": _data(dataset, configs[-1], note),
            "test": {key: result[key] for key in ("n", "accuracy", "interval", "loss", "ece", "per_class")},
            "versions": configs[-1]["versions"], "packed_with": versions()}
    write_json(folder / f"{name}.json", card)
    write_bytes(folder / f"{name}.md", page(card))
    return card


def _widened(configs):
    """{"widen": factor} if a run of the chain gave the architecture more channels; FormatError for two, whose roundings are not one."""
    factors = [config["settings"]["widen"] for config in configs if config["settings"].get("widen")]
    if len(factors) > 1:
        raise FormatError(f"{len(factors)} runs of the chain widened the network; a card can tell of one")
    return {"widen": factors[0]} if factors else {}


def _training(runs, configs):
    """The card's command (a line each), seed, hours, teachers if there were any, threads and history, of one run after the other."""
    outs = [part.name for part in runs[:-1]] + ["RUN"]
    rows = [row for part in runs for row in read_lines(part / "history.jsonl")]
    teachers = {teacher["name"]: teacher for config in configs for teacher in config.get("teachers", [])}
    told = {"command": "\n".join(command(config["settings"], out) for config, out in zip(configs, outs, strict=True)),
            "seed": configs[-1]["settings"]["seed"], "hours": round(sum(row["seconds"] for row in rows) / 3600, 2)}
    told |= {"teachers": list(teachers.values())} if teachers else {}
    told |= _threads(configs)
    numbers = [{key: value for key, value in row.items() if isinstance(value, int | float)} for row in rows]
    return told | {"history": [{key: round(value, 5) for key, value in row.items()} for row in numbers]}


def _threads(configs):
    """{"threads": n} if all runs were made by fast kernels on n threads, from start to end."""
    found = {part.get("threads") for config in configs for part in (config, *config.get("resumed", []))}
    return {"threads": found.pop()} if len(found) == 1 and None not in found else {}


def _known(runs, replaced):
    """{spec: name in the card} of the runs before: their folders and files, and the entry to be `replaced` if one of them made it."""
    known = {}
    for part in runs:
        known |= {str(part): part.name, str(part / "model.h5"): f"{part.name}/model.h5"}
        made = sha256_arrays(*load_model(part / "model.h5").get_weights())
        if replaced in zoo.names() and zoo.card(replaced)["weights_sha256"] == made:
            known[replaced] = f"{part.name}/model.h5"
    return known


def _name_sources(config, known):
    """Call what a run began with or learned from by its name in the card: entries of the zoo, and runs `known` as {spec: name}."""
    settings = config["settings"]
    weights, teachers = settings.get("weights"), [name.strip() for name in (settings.get("distill") or "").split(",") if name]
    for path in filter(None, [weights, *teachers]):
        if path not in known and path not in zoo.names():
            raise FormatError(f"the run learned from {path}, which is not an entry of the zoo, so nobody else could repeat the command on its card",
                              "--after with that run, or pack it first and train with its name")
    if weights:
        settings["weights"] = known.get(weights, weights)
    if teachers:
        settings["distill"] = ",".join(known.get(path, path) for path in teachers)
    for teacher in config.get("teachers", []):
        teacher["name"] = known.get(teacher["name"], teacher["name"])


def _tested(data_spec, configs):
    """The data set, which must be that of the runs and have test images."""
    dataset = data.load(data_spec)
    if dataset.one_part or not len(dataset.x_test):
        raise DataError(f"{data_spec} has no test images, and a card needs their accuracy", "a data set in two parts, as cifar10")
    for config in configs:
        if config.get("data", {}).get("sha256", dataset.sha256) != dataset.sha256:
            raise DataError(f"{data_spec} is not the data that the run was trained on (its SHA-256 differs)", "the --data of the run")
    return dataset


def _data(dataset, config, note):
    """Which images the run saw and was judged on."""
    x, y = dataset.part("test")
    return {"name": dataset.name, "train_images": config["training"]["images"], "test_images": len(y),
            "train_sha256": config["training"]["data_sha256"], "test_sha256": sha256_arrays(x, y), "note": note}


def _config(run):
    """Return the config.json of a finished run."""
    try:
        config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FormatError(f"{run} is not the folder of a training run ({error})") from error
    if not {"arch", "data", "seed"} <= config.get("settings", {}).keys():
        raise FormatError(f"{run} is not a run of the command line: its config.json has no settings for the card's command",
                          "tinyvgg train --out RUN")
    if not (run / "model.h5").is_file():
        raise FormatError(f"{run} has no model.h5: the run is not finished", f"tinyvgg train --resume --out {run}")
    return config


def command(settings, out="RUN"):
    """Return the command line that repeats a run of these settings in the folder `out`."""
    words = ["tinyvgg train"]
    for key, value in settings.items():
        if value is not None and value is not False:
            text = "DATA" if key == "data" else value
            words.append(f"--{key.replace('_', '-')}" + ("" if value is True else f" {text}"))
    return " ".join([*words, f"--out {out}"])


def page(card):
    """Return a card as Markdown."""
    test, low_high = card["test"], " to ".join(f"{100 * v:.2f}" for v in card["test"]["interval"])
    classes = ", ".join(f"{row['class']} " + ("-" if row["accuracy"] is None else f"{100 * row['accuracy']:.1f}") for row in test["per_class"])
    low, high = card["input_range"]
    commands = card["command"].replace("\n", "\n    ")
    teachers = "".join(f"| teacher {teacher['name']}, SHA-256 of its weights | `{teacher['weights_sha256']}` |\n"
                       for teacher in card.get("teachers", []))
    wider = f" with {card['widen']:g} times the channels" if "widen" in card else ""
    threads = f" with TINYVGG_NUM_THREADS={card['threads']}" if "threads" in card else ""
    return (f"# {card['name']}\n\n"
            f"{card['architecture']}{wider}, {card['parameters']:,} parameters; RGB images in {low:g}..{high:g}, channels last.\n\n"
            f"| | |\n|---|---|\n"
            f"| test accuracy | {100 * test['accuracy']:.2f} % of {test['n']:,} images (95 % interval {low_high}) |\n"
            f"| test loss | {test['loss']:.4f} |\n| expected calibration error | {test['ece']:.4f} |\n"
            f"| per class, % | {classes} |\n{_facts(card)}| training images | {card['data']['train_images']:,} |\n"
            f"| hours | {card['hours']} |\n| seed | {card['seed']} |\n| SHA-256 | `{card['sha256']}` |\n{teachers}\n"
            f"Data: {card['data']['name']}. {card['data']['note']}\n\nTrained{threads} by\n\n    {commands}\n\n"
            f"and evaluated by `tinyvgg evaluate {card['name']} --data DATA`.\n")


def _facts(card):
    """The rows of a page that tinyvgg.zoo.facts gave a card."""
    rows, original = "", card.get("originals")
    if original:
        right, n = round(original["accuracy"] * original["n"]), original["n"]
        rows += f"| original images (MLPerf Tiny's samples) | {right} of {n} (standard error {original['standard_error']:.1f} images) |\n"
    for ladder in card.get("ladders", []):
        low, high = (100 * v for v in ladder["robust_accuracy_interval"])
        rows += (f"| left by `{ladder['command']}` | {100 * ladder['robust_accuracy']:.1f} % of {ladder['n']:,} images (95 % interval {low:.1f} to "
                 f"{high:.1f}), {100 * ladder['clean_accuracy']:.1f} % before |\n")
    return rows


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m tinyvgg.zoo.pack", description=__doc__)
    parser.add_argument("run")
    parser.add_argument("name")
    parser.add_argument("--data", required=True)
    parser.add_argument("--after", action="append", default=[], help="the run whose model this one began with or learned from; may be repeated")
    parser.add_argument("--note", default="", help="what a reader must know of the data")
    parser.add_argument("--replace", action="store_true", help="an entry of the same name")
    arguments = parser.parse_args(argv)
    try:
        card = pack(arguments.run, arguments.name, arguments.data, after=arguments.after, note=arguments.note, replace=arguments.replace)
    except TinyVGGError as error:
        print(f"tinyvgg: {error}", file=sys.stderr)
        sys.exit(2)
    print(page(card))


if __name__ == "__main__":
    main()
