"""Flip bits of a model's weights and report its accuracy afterwards

  random   N bits at random, for each N in --flips 1,10,100 and several seeds: the baseline
  search   find the bits that hurt most, one after another (progressive bit search, BFA), with 128 training images
  map      the cost of one flip, for each array and bit
  apply    make the flips of a search in a model, and with --patch in a copy of its file
MODEL is a model, the .elf of its firmware (with the .tvq beside it, or --tvq) or a board's port (virtual:X.elf, or /dev/ttyACM0
with --elf X.elf). Flips in firmware are really made: the .elf is patched and run on a virtual board, or a running board's memory
is changed and changed back; --board-images test images are compared with the simulation.
--memory says where the bits are: file (the .h5, .tvq or .tflite itself), sram (the constants of the C, without correction), flash_ecc
(three flips of one 64-bit word at a time; fewer are corrected or stop the board), laser_set (only 0 -> 1). A float network has only
its .h5. With --out, plan and rows are kept there; after a stop the same command continues.

    tinyvgg bitflip search light.tvq --data cifar10 --flips 20 --out runs/bfa
    tinyvgg bitflip search light.tvq --goal stealthy --source 3 --target 5 --data cifar10
    tinyvgg bitflip search light.tvq --data cifar10 --flips 20 --seeds 5 --workers 2 --out runs/seeds
    tinyvgg bitflip random light.tvq --data cifar10 --flips 1,10,100,1000 --seeds 5 --json
    tinyvgg bitflip map light.tvq --data cifar10 --tensors all --samples 16 --out runs/map
    tinyvgg bitflip apply light.tvq --plan runs/bfa --data cifar10 --defence crc,radar=128,replicas
    tinyvgg bitflip apply light.tflite --plan runs/bfa --data cifar10 --patch flipped.tflite
    tinyvgg bitflip apply build/light.elf --plan runs/bfa --data cifar10 --patch build/flipped.elf
    tinyvgg bitflip apply virtual:build/light.elf --plan runs/bfa --data cifar10
"""
from pathlib import Path

import numpy as np

from tinyvgg.cli._bitflip_targets import addresses_of, on_image, opened_target
from tinyvgg.cli._classifier import add_model, images_for
from tinyvgg.cli._common import add_common, add_workers, images_told, note_fewer, print_result
from tinyvgg.errors import MissingExtra, OptionError
from tinyvgg.report.parallel import workers_of
from tinyvgg.report.record import tell, told, write_json

ACTIONS = ("random", "search", "map", "apply")
GOALS = ("any", "class", "pair", "stealthy", "image")
OF_ACTIONS = {                  # option -> (the actions that have it, its default)
    "flips": (("random", "search"), None), "seeds": (("random", "search"), None), "bits": (("random", "search"), None),
    "memory": (("random", "search", "map"), "sram"), "fault": (("random", "search", "map"), "flip"),
    "tensors": (("random", "search", "map"), None), "images": (("search", "map"), 128), "samples": (("map",), 16),
    "workers": (("random", "map", "search"), None), "dask": (("random", "map", "search"), None),
    "goal": (("search",), "any"), "target": (("search",), None), "source": (("search",), None), "trials": (("search",), "3"),
    "floor": (("search",), None), "defence": (("search", "apply"), ""), "plan": (("apply",), None),
    "patch": (("random", "search", "apply"), None)}


def add_arguments(parser):
    parser.add_argument("action", choices=ACTIONS, metavar="ACTION", help=f"what to do: {', '.join(ACTIONS)}")
    add_model(parser, board=True)
    parser.add_argument("--elf", metavar="FILE", help="of a serial port: the .elf that the board runs, for the addresses")
    parser.add_argument("--tvq", metavar="FILE", help="of an .elf or a port: its model (default: the .tvq beside the .elf)")
    parser.add_argument("--board-images", type=int, default=20, metavar="N",
                        help="of an .elf or a port: test images that the board itself classifies (default 20; 0: none)")
    parser.add_argument("--keep", action="store_true", help="of a port: leave the flips in the board's memory")
    parser.add_argument("--data", metavar="DATA", help="cifar10, shapes, folder, archive or X.npy,Y.npy (default cifar10)")
    parser.add_argument("--flips", metavar="N", help="steps of a search (default 20); random: counts as 1,10,100")
    parser.add_argument("--memory", help="sram (default), flash_ecc, laser_set or file")
    parser.add_argument("--fault", help="flip (default), set, clear or zero_dword")
    parser.add_argument("--tensors",
                        help="weights (default), codebook, index, bias, requantisation, batchnorm, all, or arrays")
    parser.add_argument("--bits", metavar="A,B", help="only these bits of each number, as 0,1,2,3,4,5,6")
    parser.add_argument("--goal", choices=GOALS, help="what a search wants (default any: as many errors as it can)")
    parser.add_argument("--target", type=int, metavar="CLASS", help="for the other goals: the class that images should get")
    parser.add_argument("--source", type=int, metavar="CLASS", help="the class whose images should get --target")
    parser.add_argument("--images", type=int, metavar="N", help="images of a search or map (default 128)")
    parser.add_argument("--trials", metavar="N", help="bits of each array tried at each step, or all (default 3)")
    parser.add_argument("--floor", type=float, metavar="SHARE", help="a search stops at this accuracy on its images")
    parser.add_argument("--seeds", type=int, metavar="N", help="draws of random flips (default 5), or searches with images of their own (default 1)")
    parser.add_argument("--samples", type=int, metavar="N", help="of a map: numbers of each array tried (default 16)")
    parser.add_argument("--defence", metavar="NAMES",
                        help="of search and apply: also let defences check the flipped weights: crc, radar=128, ranges=32, replicas")
    parser.add_argument("--plan", metavar="PLAN", help="of apply: plan.json or the folder of a search")
    parser.add_argument("--patch", metavar="FILE",
                        help="of apply, and of random and search on an .elf: write the patched copy of MODEL there")
    parser.add_argument("-n", type=int, default=1000, metavar="N", help="number of test images (default 1000); a map takes --images")
    add_workers(parser, "random, map and search --seeds")
    parser.add_argument("--out", metavar="RUN", help="folder for plan, rows and figures")
    add_common(parser)


def run(arguments):
    from tinyvgg import faults
    from tinyvgg.faults.memories import memory_of
    _complete(arguments)
    for option, value, least in (("-n", arguments.n, 1), ("--images", arguments.images, 1), ("--board-images", arguments.board_images, 0)):
        if value < least:
            raise OptionError(f"{option} is {value}; expected {least} or more", f"{option} {max(least, 20)}")
    if arguments.defence:
        from tinyvgg.codegen.guard import parse_guard
        parse_guard(arguments.defence)
    plan = None
    if arguments.action == "apply":
        if arguments.plan is None:
            raise OptionError("apply needs a plan", "--plan runs/bfa, the folder of a search")
        plan = faults.load_plan(arguments.plan)
        arguments.memory, arguments.tensors = plan.memory, ",".join({flip.tensor for flip in plan.flips}) or None
    place, _ = memory_of(arguments.memory)
    with workers_of(arguments.workers, arguments.dask) as workers, opened_target(arguments, place.form) as target:
        arguments.place = workers
        if arguments.patch and arguments.action != "apply" and not target.is_image:
            raise OptionError(f"--patch of {arguments.action} is for an .elf; {arguments.model} is a model file",
                              "--out RUN, then bitflip apply --plan RUN --patch FILE")
        work = {"random": _random, "search": _search, "map": _map, "apply": _apply}[arguments.action]
        result, text = work(arguments, target, *([plan] if plan else []))
    if arguments.out:
        write_json(Path(arguments.out) / "result.json", {**told(), **result})
    print_result(arguments, result, text)


def _complete(arguments):
    """Raise OptionError for an option of another action, and fill in the defaults."""
    for name, (actions, default) in OF_ACTIONS.items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, default)
        elif arguments.action not in actions:
            raise OptionError(f"--{name} belongs to {', '.join(actions)}; {arguments.action} has none",
                              f"the same without --{name}")


def _images(arguments, model):
    """Return the data set and test images."""
    from tinyvgg.data import load_for
    dataset = load_for(model, arguments.data)
    x, y = images_for(model, dataset, "test", arguments.n)
    note_fewer(arguments, len(x))
    tell(**dataset.told("test", len(x)))
    return dataset, x, np.asarray(y).reshape(-1)


def _tried(arguments, target, plan, x, y):
    """Run a plan on the firmware itself; return ({"elf", "addresses", "board"}, lines), empty for a model file."""
    if not target.is_image:
        return {"addresses": addresses_of(target, plan)} if target.places else {}, []
    n = min(arguments.board_images, len(x))
    found = {"elf": str(target.elf), "addresses": addresses_of(target, plan), "board": None}
    if not n and not arguments.patch:
        return found, []
    found["board"] = board = on_image(target, plan, x[:max(n, 1)], y[:max(n, 1)], patch=arguments.patch, keep=arguments.keep)
    where = target.board.link.url if target.board else f"a virtual board with {arguments.patch or 'the patched image'}"
    if board["agreement"] is None:
        return found, [f"on {where}: an NMI, no answer"]
    text = (f"on {where}: {board['accuracy_before']:.2%} -> {board['accuracy_after']:.2%} of {board['n']} images; "
            f"agreement with the simulation {board['agreement']:.2%}")
    return found, [text + (f"; different: images {board['different']}" if board["different"] else "")]


def _numbers(text, option, example):
    try:
        values = [int(part) for part in str(text).split(",")]
    except ValueError:
        values = []
    if not values or min(values) < 0:
        raise OptionError(f"{option} is {text!r}; expected whole numbers, separated by commas", example)
    return values


def _settings(arguments, tensors="weights"):
    only = None if arguments.bits is None else _numbers(arguments.bits, "--bits", "--bits 6,7")
    if only is not None and max(only) > 31:
        raise OptionError(f"--bits is {arguments.bits}; numbers have bits 0 to 31", "--bits 6,7")
    return {"tensors": arguments.tensors or tensors, "only_bits": only, "fault": arguments.fault, "memory": arguments.memory,
            "seed": arguments.seed, "quiet": arguments.quiet}


def _random(arguments, target):
    from tinyvgg import faults
    arguments.seeds = 5 if arguments.seeds is None else arguments.seeds
    counts = _numbers(arguments.flips or "1,10,20,100,1000", "--flips", "--flips 1,10,100")
    if min(counts) < 1 or arguments.seeds < 1:
        raise OptionError(f"{arguments.flips} flips and {arguments.seeds} seeds were asked for; expected 1 or more",
                          "--flips 20 --seeds 5")
    store, (_, x, y) = target.store, _images(arguments, target.model)
    before, settings = store.accuracy(x, y), _settings(arguments)
    rows = faults.random_flips(store, x, y, counts=counts, seeds=arguments.seeds, out=_file(arguments, "random.jsonl"),
                               bases=target.bases, executor=arguments.place, **settings)
    lines = [f"accuracy before {before:.2%} on {images_told(told())}"]
    for row in (summary := faults.summarise(rows)):
        found = "the board stops" if row["median"] is None else f"median {row['median']:.2%} ({row['lowest']:.2%} to {row['highest']:.2%})"
        stopped = f", {row['stopped']} draws raise an NMI" if row["stopped"] else ""
        lines.append(f"{row['flips']:>7} random flips: {found}{stopped}")
    last = summary[-1]
    plan = faults.random_plan(store, counts[-1], arguments.seed,
                              **{k: v for k, v in settings.items() if k not in ("seed", "quiet")})
    tried, more = _tried(arguments, target, plan, x, y)
    result = {"flips": last["flips"], "hamming": last["flips"], "accuracy_before": before, "accuracy_after": last["median"],
              "plan": None,
              "rows": rows, "summary": summary, "memory": arguments.memory, "n": len(x), "sha256": store.sha256, **tried}
    return result, "\n".join(lines + [f"the first draw of {counts[-1]} flips {line}" for line in more])


def _search(arguments, target):
    from tinyvgg import faults
    store, (dataset, x, y) = target.store, _images(arguments, target.model)
    flips = _numbers(20 if arguments.flips is None else arguments.flips, "--flips", "--flips 20")
    trials = None if arguments.trials == "all" else _numbers(arguments.trials, "--trials", "--trials 3")
    for option, values in (("--flips", flips), ("--trials", trials)):
        if values is not None and (len(values) > 1 or values[0] < 1):
            raise OptionError(f"{option} of a search is {','.join(map(str, values))}; expected one whole number, 1 or more", f"{option} 3")
    train, settings = images_for(target.model, dataset, "train"), {
        "flips": flips[0], "goal": arguments.goal, "target": arguments.target, "source": arguments.source,
        "trials": trials and trials[0], "floor": arguments.floor, "out": arguments.out, **_settings(arguments)}
    if arguments.seeds is not None:
        return _search_seeds(arguments, store, train, (x, y), settings)
    if arguments.workers is not None or arguments.dask is not None:
        raise OptionError("one search is one task; --workers and --dask share several", "--seeds 5 --workers 2")
    xs, ys = faults.attacker_images(*train, arguments.images, arguments.seed)
    plan = faults.progressive_search(store, xs, ys, **settings)
    return _report(arguments, target, plan, dataset, x, y)


def _search_seeds(arguments, store, train, test, settings):
    """Search with several seeds; return accuracy by number of flips, median and range."""
    from tinyvgg import faults
    if arguments.defence or arguments.patch:
        raise OptionError("--defence and --patch are of one plan; --seeds makes several", "one of them by bitflip apply --plan RUN/seed-0")
    if arguments.seeds < 1:
        raise OptionError(f"--seeds is {arguments.seeds}; expected 1 or more", "--seeds 5")
    before = store.accuracy(*test)
    rows = faults.search_seeds(store, train, test, seeds=arguments.seeds, images=arguments.images, executor=arguments.place, **settings)
    summary = faults.by_flips(rows, before)
    lines = [f"accuracy before {before:.2%} on {images_told(told())}; {len(rows)} searches of {arguments.images} images each"]
    lines += [f"{row['flips']:>7} steps: median {row['median']:.2%} ({row['lowest']:.2%} to {row['highest']:.2%})" for row in summary[1:]]
    last = summary[-1]
    return {"flips": last["flips"], "hamming": int(np.median([row["hamming"] for row in rows])), "accuracy_before": before,
            "accuracy_after": last["median"], "plan": None, "rows": rows, "summary": summary, "memory": arguments.memory,
            "n": len(test[0]), "sha256": store.sha256}, "\n".join(lines)


def _apply(arguments, target, plan):
    from tinyvgg import faults
    plan.check(target.store)
    if arguments.patch and not target.is_image:
        faults.patch_file(plan, arguments.model, arguments.patch)
    return _report(arguments, target, plan, *_images(arguments, target.model))


def _report(arguments, target, plan, dataset, x, y):
    """Apply a plan, measure it on test images, and report the effect of ECC flash and defences on it."""
    from tinyvgg.faults.defences import defences_of, trial
    store = target.store
    before = store.accuracy(x, y)
    plan.apply(store)
    after = store.accuracy(x, y)
    plan.revert(store)
    rows = plan.ecc(store, target.bases) if plan.form == "image" else []
    verdicts = {kind: sum(row["verdict"] == kind for row in rows) for kind in ("corrected", "nmi", "applied")}
    defended = {name: trial(store, plan, defence, x, y) for name, defence in defences_of(store, arguments.defence).items()}
    tried, more = _tried(arguments, target, plan, x, y)
    result = {"flips": len(plan.flips), "steps": len(plan.steps), "hamming": plan.hamming, "accuracy_before": before,
              "accuracy_after": after, "plan": plan.as_dict(), "ecc": verdicts if rows else None, "memory": plan.memory,
              "n": len(x),
              "data": dataset.name, "data_sha256": dataset.sha256, "sha256": store.sha256, "defences": defended, **tried}
    lines = [f"{i + 1:>4}  " + ", ".join(_flip_text(target, f) for f in step.flips[:4])
             + (f" and {len(step.flips) - 4} more" if len(step.flips) > 4 else "")
             + ("" if step.accuracy is None else f"   {step.accuracy:.1%} of the search's images")
             for i, step in enumerate(plan.steps)]
    lines.append(f"{len(plan.flips)} flips, {plan.hamming} bits differ; accuracy {before:.2%} -> {after:.2%} on "
                 f"{images_told(told())}")
    if rows:
        lines.append(f"in ECC flash: {verdicts['corrected']} double words corrected, {verdicts['nmi']} raise an NMI, {verdicts['applied']} applied")
    for name, row in defended.items():
        lines.append(f"{name}, {row['bytes']:,} bytes: " + (f"{row['accuracy_attacked']:.2%} -> {row['accuracy_repaired']:.2%}, {row['repaired']} "
                     "numbers set" if row["repaired"] else "found, nothing repaired" if row["detected"] else "finds nothing"))
    if plan.facts.get("stopped"):
        lines.append(f"the search ended: {plan.facts['stopped']}")
    return result, "\n".join(lines + more)


def _flip_text(target, flip):
    at = target.address(*flip.place)
    return f"{flip.tensor}[{flip.index}] bit {flip.bit}: {flip.old} -> {flip.new}" + ("" if at is None else f" at {at:#010x}")


def _map(arguments, target):
    from tinyvgg import faults
    from tinyvgg.data import load_for
    from tinyvgg.faults.plan import FlipPlan, Step, flips_of
    store, dataset = target.store, load_for(target.model, arguments.data)
    xs, ys = faults.attacker_images(*images_for(target.model, dataset, "train"), arguments.images, arguments.seed)
    tell(**dataset.told("train", len(xs)))
    settings = _settings(arguments, "all")
    del settings["only_bits"]
    rows = faults.sensitivity_map(store, xs, ys, samples=arguments.samples, executor=arguments.place,
                                  out=_file(arguments, "map.jsonl"), **settings)
    if arguments.out:
        from tinyvgg.report.fault_plots import heat_map
        try:
            heat_map(rows, Path(arguments.out) / "map.png")
        except MissingExtra:
            pass
    before = float((store.labels(xs) == ys).mean())
    ranked = sorted((r for r in rows if r["tried"]), key=lambda r: -r["worst_drop"])
    worst = ranked[0]
    lines = [f"{r['tensor']:<28} bit {r['bit']:>2}  mean drop {r['mean_drop']:7.2%}  worst {r['worst_drop']:7.2%} at [{r['worst_index']}]  "
             f"({r['tried']}{' of all' if r['exhaustive'] else ' sampled'})" for r in ranked[:15]]
    place = [(worst["tensor"], worst["worst_index"], worst["bit"])]
    plan = FlipPlan(store.name, store.sha256, store.form, arguments.memory, [Step(tuple(flips_of(store, place)))])
    tried, more = _tried(arguments, target, plan, xs, ys)
    result = {"flips": 1, "hamming": 1, "accuracy_before": before, "accuracy_after": before - worst["worst_drop"], "plan": None,
              "rows": rows,
              "n": len(xs), "memory": arguments.memory, "sha256": store.sha256, **tried}
    head = f"accuracy before {before:.2%} on {images_told(told())}; the worst rows:"
    return result, "\n".join([head, *lines, *(f"the worst flip {line}" for line in more)])


def _file(arguments, name):
    return None if arguments.out is None else Path(arguments.out) / name
