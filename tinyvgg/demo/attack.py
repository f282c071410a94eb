"""Attack the float network and the integer one; show the images to the others and to the board."""

import shlex
from dataclasses import fields, replace

import numpy as np

from tinyvgg import attacks, zoo
from tinyvgg.board import Board
from tinyvgg.errors import MissingExtra, require
from tinyvgg.images import float_images
from tinyvgg.quant.straight import straight_through
from tinyvgg.report.record import sha256_arrays

NEEDS, WISHES = ("compress",), ("firmware",)
EPS, STEP = "8/255", "2/255"
RADII = ("0", "1/255", "2/255", "4/255", "8/255", "16/255")
VICTIMS = ("int8", "shared4", "shared2")
RESISTS = "light_robust_8"  # the zoo's network whose curve is drawn beside, on CIFAR-10
KEPT = (
    "n",
    "clean_accuracy",
    "robust_accuracy",
    "robust_accuracy_interval",
    "success_rate",
    "queries",
    "gradients",
    "seconds",
    "flags",
    "model_sha256",
    "data_sha256",
)


def run(story):
    """Return rows of PGD, of curves over eps, of transfer between models, and of the same images on the board."""
    x, y = story.float_images(story.count(story.sizes.attacked))
    models = {"float": story.model, **{scheme: story.compressed(scheme) for scheme in VICTIMS}}
    sources = {"float": story.model, "int8": straight_through(models["int8"])}
    results = {name: _pgd(story, name, source, x, y) for name, source in sources.items()}
    board, missing = _on_the_board(story, results, models["int8"])
    return {
        "eps": EPS,
        "step": STEP,
        "steps": story.sizes.steps,
        "pgd": [_row(story, name, result) for name, result in results.items()],
        "curves": {name: _curve(story, name, source, x, y) for name, source in sources.items()} | _resisting(story),
        "transfer": [
            _shown(story, source, result, victim, model) for source, result in results.items() for victim, model in models.items()
        ],
        "board": board,
        "board_missing": missing,
        "failed": [row["different"] for row in board if row["different"]],
    }


def _name(story, name):
    if name == RESISTS:
        return name
    return story.model_name if name == "float" else story.tvq_name(name)


def _pgd(story, name, source, x, y):
    return attacks.pgd(
        source,
        x,
        y,
        norm="linf",
        eps=EPS,
        step=STEP,
        steps=story.sizes.steps,
        seed=story.settings.seed,
        out=story.folder("attack") / name,
        quiet=story.quiet,
    )


def _row(story, name, result):
    summary = result.summary()
    command = (
        f"tinyvgg attack pgd {_name(story, name)} --data {story.data} --norm linf --eps {EPS} --step {STEP} "
        f"--steps {story.sizes.steps} -n {len(result)}{story.seed} --out {story.inside('attack', name)}"
    )
    return {"source": name, **{key: summary[key] for key in KEPT}, "command": command}


def _curve(story, name, source, x, y):
    folder, n = story.folder("attack") / f"curve-{name}", min(story.sizes.curve, len(x))
    rows = attacks.eps_curve(
        source,
        x[:n],
        y[:n],
        eps=RADII,
        norm="linf",
        steps=story.sizes.curve_steps,
        seed=story.settings.seed,
        batch_size=128,
        out=folder / "curve.jsonl",
        quiet=story.quiet,
    )
    command = (
        f"tinyvgg attack curve {_name(story, name)} --data {story.data} --norm linf --eps {','.join(RADII)} "
        f"--steps {story.sizes.curve_steps} -n {n}{story.seed} --out {story.inside('attack', folder.name)}"
    )
    return {"rows": rows, "command": command}


def _resisting(story):
    """The curve of a network that was trained on attacked images, if the story is of CIFAR-10 and of another network."""
    if story.dataset.name != "cifar10" or story.chosen == RESISTS:
        return {}
    model = zoo.load(RESISTS)
    x, y = story.dataset.part("test", story.count(story.sizes.curve))
    return {RESISTS: _curve(story, RESISTS, model, float_images(x, model.bounds), y)}


def _shown(story, source, result, victim, model):
    """What a victim answers to the images of an attack on another model."""
    seen = result if source == victim else attacks.replay(model, result)
    return {
        "source": source,
        "victim": victim,
        **_shares(seen),
        "command": f"tinyvgg evaluate {_name(story, victim)} --data {story.inside('attack', source)}",
    }


def _on_the_board(story, results, model):
    """Rows of the first images of each attack, clean and attacked, on the virtual board; or why there are none."""
    built = [row for row in (story.results["firmware"] or {}).get("rows", []) if row["scheme"] == "int8" and "elf" in row]
    try:
        require("unicorn", "board")
    except MissingExtra as error:
        return [], f"{error.problem}: {error.hint}"
    if not built:
        return [], "no firmware was built"
    rows, port = [], f"virtual:{built[0]['elf']}"
    for name, result in results.items():
        part, folder = first(result, story.sizes.replayed), story.folder("attack") / f"board-{name}"
        part.save(folder / "attack.npz")
        with Board(port) as board:
            seen = attacks.replay(board, part)
        expected = attacks.replay(model, part)
        wrong = int(sum((getattr(seen, key) != getattr(expected, key)).sum() for key in ("pred_clean", "pred_adv", "pred_u8")))
        told = f"the board answers {wrong} clean or attacked images otherwise than the integer model" if wrong else ""
        rows.append(
            {
                "source": name,
                "n": len(part),
                **_shares(seen),
                "different": told,
                "command": f"tinyvgg evaluate {shlex.quote(port)} --data {story.inside('attack', folder.name)}",
            }
        )
    return rows, ""


def _shares(seen):
    return {key: getattr(seen, key) for key in ("clean_accuracy", "robust_accuracy", "success_rate")}


def first(result, n):
    """Return an AttackResult of the first n images of another."""
    size, changed = len(result), {}
    for item in fields(result):
        value = getattr(result, item.name)
        if isinstance(value, np.ndarray) and len(value) == size:
            changed[item.name] = value[:n]
    norms = {name: values[:n] for name, values in result.norms.items()}
    return replace(result, **changed, norms=norms, data_sha256=sha256_arrays(result.x[:n], result.y[:n]))
