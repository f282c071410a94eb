"""Flip bits of the integer network in memory, at random and searched, and let defences look."""

import itertools

from tinyvgg import faults
from tinyvgg.faults.defences import Crc, Radar, Ranges, Replicas, trial
from tinyvgg.faults.images import attacker_images
from tinyvgg.faults.plan import accuracies

NEEDS, WISHES = ("compress",), ()
SCHEME = "int8"
DEFENCES = {"crc": Crc, "radar": Radar, "replicas": Replicas, "ranges": Ranges}


def run(story):
    """Return accuracy against random flips and against those of a search, and what each defence finds and repairs."""
    model, sizes = story.compressed(SCHEME), story.sizes
    store = faults.open_store(model, "image")
    x, y = story.images("test", story.count(sizes.flipped))
    before = store.accuracy(x, y)
    random = _random(story, store, x, y)
    plan = _search(story, store)
    command = (
        f"tinyvgg bitflip search {story.tvq_name(SCHEME)} --data {story.data} --flips {sizes.searched} "
        f"--images {sizes.search_images} -n {len(x)}{story.seed} --out {story.inside('bitflip', 'search')}"
    )
    return {
        "scheme": SCHEME,
        "n": len(x),
        "before": before,
        "chance": 1 / story.model.n_classes,
        "random": random,
        "search": {
            **_after_each_step(plan, store, x, y, before),
            "images": sizes.search_images,
            "stopped": plan.facts.get("stopped"),
            "command": command,
        },
        "flips": [vars(flip) for flip in plan.flips],
        "ecc": _verdicts(plan, store),
        "defences": [_defend(name, kind, store, plan, x, y) for name, kind in DEFENCES.items()],
        "defences_command": story.again("bitflip"),
        "sha256": store.sha256,
    }


def _random(story, store, x, y):
    sizes, folder = story.sizes, story.folder("bitflip") / "random"
    rows = faults.random_flips(
        store,
        x,
        y,
        counts=sizes.random,
        seeds=sizes.draws,
        seed=story.settings.seed,
        out=folder / "random.jsonl",
        quiet=story.quiet,
    )
    command = (
        f"tinyvgg bitflip random {story.tvq_name(SCHEME)} --data {story.data} --flips {','.join(map(str, sizes.random))} "
        f"--seeds {sizes.draws} -n {len(x)}{story.seed} --out {story.inside('bitflip', folder.name)}"
    )
    return {"rows": faults.summarise(rows), "command": command}


def _search(story, store):
    x, y = story.images("train")
    chosen = attacker_images(x, y, story.sizes.search_images, story.settings.seed)
    return faults.progressive_search(
        store,
        *chosen,
        flips=story.sizes.searched,
        seed=story.settings.seed,
        out=story.folder("bitflip") / "search",
        quiet=story.quiet,
    )


def _after_each_step(plan, store, x, y, before):
    """Return {"rows", "accuracy_after"}: accuracy on x (N, H, W, C), y (N,) after each step."""
    flips = itertools.accumulate(len(step.flips) for step in plan.steps)
    rows = [{"flips": n, "accuracy": share} for n, share in zip(flips, accuracies(store, plan, x, y), strict=True)]
    rows = [{"flips": 0, "accuracy": before}, *rows]
    return {"rows": rows, "accuracy_after": rows[-1]["accuracy"]}


def _verdicts(plan, store):
    rows = plan.ecc(store)
    return {kind: sum(row["verdict"] == kind for row in rows) for kind in ("corrected", "nmi", "applied")}


def _defend(name, kind, store, plan, x, y):
    return {"defence": name, **trial(store, plan, kind(store), x, y)}
