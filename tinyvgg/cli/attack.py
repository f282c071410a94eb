"""Attack a classifier and report its accuracy under attack

NAME: noise, fgsm, pgd, mifgsm, apgd, apgd_t, fab, square, deepfool, cw, fmn, hopskipjump, rays, or ladder (several strong
attacks in turn: --version standard, plus and rand are AutoAttack's sequences, rand is for a model with random answers), or list
(all attacks and what each needs), or one of these studies, which use --attack (default pgd):
  curve      robust accuracy for each radius in --eps 0,1/255,2/255,...
  transfer   the attacked images shown to other models: --victims OTHER.h5,THIRD.h5
  matrix     how often images of each class can be turned into each other class
  steps      step lengths and numbers of steps
  deployed   float network, integers, codebooks, board: images made against MODEL, attacks by own gradients, attacks by queries
  presets    the settings of the student project's notebook, and the same corrected
eps and step are in the unit of the model's images (for most 0..1, where 8/255 is eight of 255 levels). With --out, images, result
and figures are kept there; after a stop the same command continues. `tinyvgg evaluate OTHER --data RUN` shows the images to
another model. An integer model (.tvq) rounds, so it has no gradient; --gradients straight-through computes one as if nothing
were rounded. Without that, and for a board, use square, which needs only scores, or hopskipjump and rays, which need only labels.

    tinyvgg attack pgd runs/first --data shapes --eps 8/255 --step 2/255 --steps 40 -n 1000 --out runs/pgd
    tinyvgg attack ladder light_cifar10 --data cifar10 --eps 8/255 -n 1000 --json
    tinyvgg attack ladder light_cifar10 --norm l1 --eps 12 --attacks apgd-ce,apgd-t,square
    tinyvgg attack transfer light.h5 --victims base.h5 --data cifar10 --eps 8/255
    tinyvgg attack curve light_cifar10 --eps 0,1/255,2/255,4/255 --workers 2 --out runs/curve
    tinyvgg attack rays virtual:build/light.elf --precision labels --queries 500 --minutes 60 -n 100 --out runs/rays
    tinyvgg attack deployed light_cifar10 --victims light.tvq,virtual:build/light.elf --data cifar10 -n 20
    tinyvgg attack square light.tvq --gradients none --data cifar10 --eps 8/255 -n 100
"""
import argparse
import inspect
import re
import sys
from pathlib import Path

import numpy as np

from tinyvgg.attacks.checks import below_one_level
from tinyvgg.attacks.ladder import ladder_text
from tinyvgg.attacks.norms import default_eps, parse_eps, parse_norm
from tinyvgg.attacks.result import LARGEST
from tinyvgg.cli._attack_studies import STUDIES
from tinyvgg.cli._classifier import add_data, add_model, images_for, with_gradients
from tinyvgg.cli._common import add_common, add_workers, images_told, note_fewer, print_result
from tinyvgg.cli._parser import Parser
from tinyvgg.errors import DataError, MissingExtra, OptionError
from tinyvgg.images import float_images
from tinyvgg.open import opened
from tinyvgg.report.parallel import workers_of
from tinyvgg.report.record import tell, write_json
from tinyvgg.report.untrusted import check_regular
from tinyvgg.words import ATTACKS, did_you_mean

# Sentences of an attack's docstring that only make sense in Python.
PYTHON_ONLY = r"(;\s*f|\s*F)urther\s+options:\s+see\s+run[^.]*\.|\s*Returns\s+an\s+AttackResult\."

SETTINGS = {                    # option -> (type, help); passed only to attacks that have it
    "norm": (str, "linf (default), l2 or l1"),
    "eps": (str, "largest change of an image, as 8/255 or 0.03 (default 8/255 of the range, for l2 half of it); several for a curve; "
                 ".npy: for each image or value"),
    "step": (str, "length of a step"),
    "steps": (int, "number of steps"),
    "target": (int, "class to reach; without it, any wrong one"),
    "loss": (str, "ce (scaled cross-entropy), ce_plain, margin or dlr"),
    "restarts": (int, "runs, from random points after the first"),
    "keep": (str, "best or last point of an image"),
    "grid": (int, "255: stay on 8-bit images"),
    "queries": (int, "of square and rays, for each image"),
    "targets": (int, "of apgd_t and fab: number of wrong classes"),
    "kind": (str, "of noise: uniform, sign, gaussian, salt"),
    "towards": (str, "of fab: each wrong class in turn (default), or the nearest"),
    "version": (str, "of the ladder: fast, standard, plus or rand"),
    "attacks": (str, "of the ladder: your own sequence, from apgd-ce,apgd-dlr,apgd-t,fab,fab-t,square and attacks with an eps"),
    "draws": (int, "of the ladder's rand: answers whose mean is attacked and judged; of hopskipjump: labels for an estimate"),
}

SHARED = ("curve", "transfer", "matrix", "steps")       # studies that --workers and --dask know

SWITCHES = {"random_start": "--random-start", "early_stop": "--no-early-stop"}


class _Name(argparse.Action):
    """NAME: every name except list also needs a MODEL."""

    def __call__(self, parser, namespace, values, option_string=None):
        namespace.name, self.model.required = values, values != "list"
        namespace.model = None


def add_arguments(parser, of=None):
    """Add the options. of: the function of one attack; then only its own options are added, with its defaults."""
    name = parser.add_argument("name", metavar="NAME", action=_Name, help="the attack, the study, or list")
    name.model = add_model(parser, board=True)
    add_data(parser)
    for name, (kind, text) in SETTINGS.items():
        if of is None or name in inspect.signature(of).parameters:
            parser.add_argument(f"--{name}", type=kind, help=text if of is None else _with_default(text, of, name), metavar=name[0].upper())
    if of is None or "random_start" in inspect.signature(of).parameters:
        parser.add_argument("--random-start", action="store_true", default=None, help="begin at a random change within eps")
    if of is None or "early_stop" in inspect.signature(of).parameters:
        parser.add_argument("--no-early-stop", dest="early_stop", action="store_false", default=None,
                            help="take all steps and keep the strongest point, not the first that fools the network (transfer's default)")
    if of is None:
        parser.add_argument("--attack", metavar="NAME", help="of a study: the attack (default pgd)")
        parser.add_argument("--victims", metavar="A,B", help="of transfer and deployed: the other models")
        add_workers(parser, ", ".join(SHARED))
    parser.add_argument("--gradients", choices=("straight-through", "none"),
                        help="of an integer model: through its rounding (default), or none, as its C code")
    parser.add_argument("-n", type=int, metavar="N", help="number of test images (default 1000)")
    parser.add_argument("--batch-size", type=int, default=128, metavar="N", help="images at a time (default 128)")
    parser.add_argument("--budget", type=int, metavar="Q", help="queries in all; then stop and keep what was found")
    parser.add_argument("--mask", metavar="M", help="where images may change: TOP,LEFT,HEIGHT,WIDTH of a patch, or a .npy of True and False")
    parser.add_argument("--minutes", type=float, metavar="M",
                        help="stop after M minutes of a board's serial line, else of this process, and keep what was found")
    parser.add_argument("--flash-model", choices=("calibrated", "none"),
                        help="of a virtual board: its flash with the delays of the real chip (default), or without any, which simulates faster")
    parser.add_argument("--precision", metavar="P", help="what a deployed network answers: logits, scores, bytes (ten, of 8 bits) or labels")
    parser.add_argument("--out", metavar="RUN", help="folder for images, result and figures; a board's answers are kept there")
    add_common(parser)


def narrower(name):
    """Return the Parser for the help of one attack: what it does, its own options, their defaults; None for other words."""
    from tinyvgg import attacks
    function = attacks.ATTACKS.get(name)
    if function is None:
        return None
    does = re.sub(PYTHON_ONLY, lambda found: "." if found[0].startswith(";") else "", inspect.getdoc(function))
    told = f"{does}\n\nIt needs {attacks.NEEDS[name]} of the model.\n\n"
    example = f"    tinyvgg attack {name} light_cifar10 --data cifar10 -n 100 --out runs/{name}"
    parser = Parser(prog=f"tinyvgg attack {name}", description=told + example)
    add_arguments(parser, function)
    parser._actions[1].help = argparse.SUPPRESS
    return parser


def _with_default(text, function, name):
    """Return the help of a setting for one attack: with its default, without the parts about other attacks."""
    default = inspect.signature(function).parameters[name].default
    shown = "8/255 of the range, for l2 half of it" if default is inspect.Parameter.empty else default
    text = re.sub(r" ?\(default [^)]*\)|; several for a curve|^of [a-z_ ]+?[:,] ", "", text)
    return text if shown is None else f"{text} (default {shown})"


def run(arguments):
    from tinyvgg import attacks
    name = arguments.name
    if name == "list":
        return print_result(arguments, {"attacks": listed()}, _table(listed()))
    if name not in attacks.ATTACKS and name not in STUDIES:
        raise OptionError(f"there is no attack {name!r}; expected one of {', '.join([*attacks.ATTACKS, *STUDIES])}"
                          + did_you_mean(name, [*attacks.ATTACKS, *STUDIES, "list"], ATTACKS))
    if arguments.victims is not None and name not in ("transfer", "deployed"):
        raise OptionError(f"--victims belongs to transfer and deployed; {name} has none", "the same without --victims")
    if arguments.minutes is not None and (name in STUDIES or name == "ladder"):
        raise OptionError(f"--minutes belongs to one attack; {name} is several", "attack rays or square, with --minutes")
    if arguments.mask is not None and name in STUDIES:
        raise OptionError(f"--mask belongs to an attack; {name} is a study, which has none", "the same without --mask")
    if arguments.precision is not None and name in STUDIES and name != "deployed":
        raise OptionError(f"--precision belongs to an attack and to deployed; {name} has none", "the same without --precision")
    if (arguments.workers is not None or arguments.dask is not None) and name not in SHARED:
        raise OptionError(f"--workers and --dask belong to {', '.join(SHARED)}; {name} is one attack", f"attack curve --attack {name}"
                          if name in attacks.ATTACKS else "the same without them")
    if name not in STUDIES:
        if arguments.attack is not None:
            raise OptionError(f"--attack belongs to a study; {name} is an attack itself", f"one of {', '.join(STUDIES)}")
        return _attack(arguments, attacks.ATTACKS[name])
    if arguments.budget is not None:
        raise OptionError(f"--budget belongs to an attack; {name} is a study, which has none", "the same without --budget")
    inner = arguments.attack or ("rays" if name == "deployed" else "pgd")
    if inner == "ladder" and name == "matrix":
        raise OptionError("the ladder attacks away from a class, not to one; the matrix is of targets", "--attack pgd")
    if inner not in attacks.ATTACKS:
        raise OptionError(f"--attack is {inner!r}; expected one of {', '.join(attacks.ATTACKS)}"
                          + did_you_mean(inner, attacks.ATTACKS, ATTACKS))
    settings = chosen_settings(arguments, attacks.ATTACKS[inner], inner)
    with workers_of(arguments.workers, arguments.dask) as place, opened(arguments.model, arguments.input_range, flash_of(arguments)) as model:
        arguments.place = place
        settings = settings if name in ("curve", "presets") else with_eps(settings, attacks.ATTACKS[inner], model)
        result, text = STUDIES[name](arguments, attacks.ATTACKS[inner], settings, *model_and_images(arguments, model))
        if name in ("matrix", "steps"):
            flags = result["flags"] = below_one_level(parse_eps(settings.get("eps", 0)), model.bounds)
            text = "\n".join([text, *(f"! {flag}" for flag in flags)])
    if arguments.out and name in ("transfer", "presets", "deployed"):   # the others keep their rows as they come
        write_json(Path(arguments.out) / f"{name}.json", result)
    print_result(arguments, result, text)


def listed():
    """Return the attacks and studies as plain data: {"name", "needs": gradients, scores or labels of the model, "takes", "what"}."""
    from tinyvgg import attacks
    rows = [{"name": name, "needs": attacks.NEEDS[name],
             "takes": [key for key in (*SETTINGS, *SWITCHES) if key in inspect.signature(function).parameters],
             "what": inspect.getdoc(function).split("\n")[0]} for name, function in attacks.ATTACKS.items()]
    return rows + [{"name": name, "needs": "those of --attack", "takes": [], "what": inspect.getdoc(function).split("\n")[0]}
                   for name, function in STUDIES.items()]


def _table(rows):
    return "\n".join(f"{row['name']:<13}{row['needs']:<19}{row['what']}" for row in rows)


def _attack(arguments, function):
    """Run one attack, save it and its figures, and print the result."""
    from tinyvgg import attacks
    from tinyvgg.report import attack_plots
    settings = chosen_settings(arguments, function, arguments.name)
    with opened(arguments.model, arguments.input_range, flash_of(arguments)) as opened_model:
        model, x, y, classes = model_and_images(arguments, opened_model)
        if hasattr(model, "link") or arguments.precision is not None:
            model = attacks.deployed(model, precision=arguments.precision, out=Path(arguments.out) / "answers.jsonl" if arguments.out else None)
        more = {} if arguments.minutes is None else {"minutes": arguments.minutes}
        more |= {} if arguments.mask is None else {"mask": patch(arguments.mask, x.shape[1:])}
        result = function(model, x, y, **with_eps(settings, function, model), seed=arguments.seed,
                          batch_size=arguments.batch_size, budget=arguments.budget,
                          out=arguments.out, quiet=arguments.quiet, **more)
    found, lines = by_queries(result, model)
    if arguments.out:
        try:
            result.grid(Path(arguments.out) / "images.png", classes=classes)
            if "success_by_queries" in found:
                attack_plots.queries({result.name: attacks.success_by_queries(result)}, Path(arguments.out) / "queries.png")
        except MissingExtra as error:
            print(f"tinyvgg: no figure: {error}", file=sys.stderr)
    print_result(arguments, {**result.summary(), **found}, "\n".join([text_of(result, arguments.out), *lines]))


def patch(text, shape):
    """Return the mask of --mask for images of `shape`: the booleans of a .npy, or a rectangle in the first two axes."""
    if text.endswith(".npy"):
        return array_of(text, "--mask", "np.save of booleans, shaped as one image")
    try:
        top, left, height, width = (int(part) for part in text.split(","))
    except ValueError:
        raise OptionError(f"--mask is {text!r}; expected TOP,LEFT,HEIGHT,WIDTH or a .npy", "--mask 8,8,10,10") from None
    if len(shape) < 2 or min(top, left) < 0 or min(height, width) < 1 or top + height > shape[0] or left + width > shape[1]:
        raise OptionError(f"--mask {text} does not lie within images of shape {tuple(shape)}", "--mask 8,8,10,10: rows and columns from the top left")
    free = np.zeros(shape[:2] if len(shape) > 2 else shape, bool)
    free[top:top + height, left:left + width] = True
    return free


def array_of(path, option, hint):
    """Return the array of a .npy; raise OptionError if it cannot be read, or is larger than the images of an attack may be."""
    try:
        check_regular(path)
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        if mapped.nbytes > LARGEST:
            raise ValueError(f"it unpacks to {mapped.nbytes:,} bytes")
        return np.array(mapped)
    except (OSError, ValueError, EOFError, DataError) as error:
        raise OptionError(f"{option} {path} cannot be read: {error}", hint) from error


def flash_of(arguments):
    """Return the value of --flash-model; raise OptionError if it is given without a virtual board."""
    specs = [str(arguments.model), *(getattr(arguments, "victims", None) or "").split(",")]
    if arguments.flash_model is not None and not any(spec.startswith("virtual:") for spec in specs):
        raise OptionError("--flash-model belongs to a virtual board, and none is asked here", "the same without it")
    return arguments.flash_model


def by_queries(result, model):
    """Return ({"success_by_queries", "line"}, lines): the first for attacks within an eps that only use queries, the second for a
    deployed model: how much it was asked."""
    from tinyvgg import attacks
    found, lines = {}, []
    if attacks.NEEDS.get(result.name) in ("scores", "labels") and result.config.get("eps") is not None:
        used, share = attacks.success_by_queries(result, 12)
        found["success_by_queries"] = [{"queries": int(q), "fooled": float(s)} for q, s in zip(used, share, strict=True)]
        lines.append("fooled by queries  " + ", ".join(f"{row['queries']}: {row['fooled']:.0%}" for row in found["success_by_queries"]))
    if hasattr(model, "line_seconds"):
        found["line"] = {"questions": model.asked, "minutes": model.line_seconds / 60, "precision": model.precision}
        lines.append(f"asked {model.asked:,} different images, {model.line_seconds / 60:.1f} minutes on the line; answers are {model.precision}")
    return found, lines


def chosen_settings(arguments, function, name):
    """Return the options that were given; raise OptionError for one that this attack does not have."""
    takes = inspect.signature(function).parameters
    given = {key: getattr(arguments, key) for key in (*SETTINGS, *SWITCHES) if getattr(arguments, key) is not None}
    strange = [key for key in given if key not in takes and not (key == "eps" and arguments.name == "curve")]
    if strange:
        own = ", ".join(SWITCHES.get(key, f"--{key}") for key in (*SETTINGS, *SWITCHES) if key in takes)
        raise OptionError(f"{name} has no {SWITCHES.get(strange[0], f'--{strange[0]}')}; it takes {own}")
    if str(given.get("eps", "")).endswith(".npy"):
        if arguments.name in STUDIES and arguments.name != "transfer":
            raise OptionError(f"{arguments.name} takes one eps for all images; got {given['eps']}", "--eps 8/255; an attack, the ladder, transfer")
        given["eps"] = array_of(given["eps"], "--eps", "np.save of radii, one for each image (N,)")
    if "attacks" in given:
        given["attacks"] = [name.strip() for name in given["attacks"].split(",")]
    return given


def with_eps(settings, function, model):
    """Return the settings of an attack; if it needs an eps and none was given, with the default eps for this model."""
    wanted = inspect.signature(function).parameters.get("eps")
    if wanted is None or wanted.default is not inspect.Parameter.empty:
        return settings
    return {"eps": default_eps(model.bounds, parse_norm(settings.get("norm", "linf"))), **settings}


def model_and_images(arguments, model):
    """Return the model with the gradients that were asked for, float test images in its range, labels and class names."""
    from tinyvgg.data import load_for
    model = with_gradients(model, arguments.gradients)
    dataset = load_for(model, arguments.data)
    x, y = images_for(model, dataset, "test", 1000 if arguments.n is None else arguments.n)
    note_fewer(arguments, len(x))
    tell(**told_of(dataset, len(x)))
    return model, float_images(x, model.bounds), y, dataset.classes


def told_of(dataset, n):
    """Return the facts about the data for an attack's result; its own `data_sha256` is that of the attacked images."""
    return {("data_set_sha256" if key == "data_sha256" else key): value for key, value in dataset.told("test", n).items()}


def text_of(result, out=None):
    """Return an attack's result as readable lines."""
    s = result.summary()
    low, high = s["robust_accuracy_interval"]
    norm = result.config.get("norm", "l2")
    spread = s["norms"][norm]
    lines = [f"{result.name}: {s['n']} images in {s['seconds']:.1f} s, {s['queries']:,} queries, {s['gradients']:,} gradients",
             f"clean accuracy   {s['clean_accuracy']:.2%}",
             f"robust accuracy  {s['robust_accuracy']:.2%}  (95 % interval {low:.2%} to {high:.2%})",
             f"fooled           {s['fooled']} of {s['attackable']} right images"]
    if "data" in result.about:
        lines.insert(1, f"data             {images_told(result.about)}")
    if s["attackable"]:
        lines[-1] += f" ({s['success_rate']:.2%}; 8 bits {s['success_rate_u8']:.2%})"
    if s["fooled"]:
        lines.append(f"{norm} distance of the fooled: median {spread['median']:.4g}, largest {spread['max']:.4g}")
    if "stages" in result.config:
        lines += [f"  {line}" for line in ladder_text(result)]
    return "\n".join([*lines, *(f"! {flag}" for flag in result.flags), *([f"saved in {out}"] if out else [])])
