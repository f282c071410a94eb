"""The studies of `tinyvgg attack`: curve, transfer, matrix, steps, presets. Each returns (plain data, text)."""
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from tinyvgg.errors import MissingExtra, OptionError
from tinyvgg.open import opened


def curve(arguments, attack, settings, model, x, y, classes):
    """Measure robust accuracy for several radii."""
    from tinyvgg import attacks
    from tinyvgg.report import attack_plots
    radii = settings.pop("eps", "").split(",") if arguments.eps else None
    settings.pop("eps", None)
    rows = attacks.eps_curve(model, x, y, attack=attack, eps=radii, out=_file(arguments, "curve.jsonl"),
                             **_common(arguments, settings))
    _draw(arguments, attack_plots.eps_curve, {attack.__name__: rows}, name="curve.png")
    lines = [f"{row['eps']:<10.5g}{row['robust_accuracy']:>8.2%}   ({row['interval'][0]:.2%} to {row['interval'][1]:.2%})"
             for row in rows]
    flags = sorted({flag for row in rows for flag in row["flags"]})
    return {"rows": rows}, "\n".join(["eps       robust accuracy", *lines, *(f"! {flag}" for flag in flags)])


def transfer(arguments, attack, settings, model, x, y, classes):
    """Show the attacked images of one model to other models."""
    from tinyvgg import attacks
    if not arguments.victims or not all(arguments.victims.split(",")):
        raise OptionError("transfer needs other models", "--victims OTHER.h5,THIRD.h5")
    with ExitStack() as stack:
        others = {spec: stack.enter_context(opened(spec, arguments.input_range, arguments.flash_model or "none"))
                  for spec in arguments.victims.split(",")}             # only a board's answers matter here, not its time
        others = {spec: attacks.deployed(victim, out=_file(arguments, f"answers-{i}.jsonl")) if hasattr(victim, "link") else victim
                  for i, (spec, victim) in enumerate(others.items())}
        victims = {arguments.model: model, **others}
        rows = attacks.transfer({arguments.model: model}, victims, x, y, attack=attack, out=_file(arguments, "transfer.jsonl"),
                                **_common(arguments, settings))
    lines = [f"{row['victim']:<30} clean {row['clean_accuracy']:.2%}, robust {row['robust_accuracy']:.2%}, "
             f"fooled {row['success_rate']:.2%}" for row in rows]
    flags = [f"! {row['victim']}: {flag}" for row in rows for flag in row["flags"]]
    return {"rows": rows}, "\n".join([f"images made against {arguments.model}", *lines, *flags])


def matrix(arguments, attack, settings, model, x, y, classes):
    """Measure the success rate from each class to each other class."""
    from tinyvgg import attacks
    from tinyvgg.report import attack_plots
    from tinyvgg.report.tables import table
    if settings.pop("target", None) is not None:
        raise OptionError("matrix uses all targets; --target is not possible with it")
    found = attacks.target_matrix(model, x, y, attack=attack, out=_file(arguments, "matrix.jsonl"),
                                  **_common(arguments, settings))
    _draw(arguments, attack_plots.target_matrix, found["matrix"], classes, name="matrix.png")
    names = classes if len(classes) == model.n_classes else tuple(map(str, range(model.n_classes)))
    cells = [[name, *("-" if value != value else f"{100 * value:.0f}" for value in row)]
             for name, row in zip(names, found["matrix"], strict=True)]
    return {"matrix": found["matrix"], "rows": found["rows"]}, table(["from (down), to", *names], cells)


def steps(arguments, attack, settings, model, x, y, classes):
    """Measure PGD for several step lengths and numbers of steps."""
    from tinyvgg import attacks
    from tinyvgg.report import attack_plots
    from tinyvgg.report.tables import table
    if attack.__name__ != "pgd" or "steps" in settings or "step" in settings:
        raise OptionError("steps tries lengths and numbers of PGD's steps; --step, --steps or another --attack are not possible with it")
    rows = attacks.step_map(model, x, y, **_common(arguments, settings), out=_file(arguments, "steps.jsonl"))
    _draw(arguments, attack_plots.step_map, rows, name="steps.png")
    shares, numbers = sorted({r["share"] for r in rows}), sorted({r["steps"] for r in rows})
    value = {(r["share"], r["steps"]): f"{100 * r['robust_accuracy']:.1f}" for r in rows}
    cells = [[f"{s:g}", *(value[s, n] for n in numbers)] for s in shares]
    return {"rows": rows}, table(["step / eps", *(f"{n} steps" for n in numbers)], cells)


def deployed(arguments, attack, settings, model, x, y, classes):
    """Compare a float network with the networks made from it.

    Each is attacked by images made for MODEL, by its own gradients, and by queries.
    """
    from tinyvgg import attacks
    from tinyvgg.attacks.evaluate import replay
    from tinyvgg.attacks.identity import takes
    from tinyvgg.attacks.norms import default_eps, parse_norm
    from tinyvgg.attacks.victim import has_gradients
    from tinyvgg.cli._classifier import with_gradients
    from tinyvgg.report.tables import table
    if not arguments.victims or not all(arguments.victims.split(",")):
        raise OptionError("deployed needs the networks that were made from MODEL", "--victims light.tvq,virtual:build/light.elf")
    if attacks.NEEDS[attack.__name__] == "gradients" or not takes(attack, "eps"):
        raise OptionError(f"deployed attacks by queries within eps; {attack.__name__} does not", "--attack rays or square")
    settings = {"eps": default_eps(model.bounds, parse_norm(settings.get("norm", "linf"))), **settings}     # rays has no default
    common = {"batch_size": arguments.batch_size, "seed": arguments.seed}
    eps, ball = settings["eps"], {key: settings[key] for key in ("eps", "norm") if key in settings}
    made, rows = attacks.pgd(model, x, y, **ball, early_stop=False, **common), []
    for spec in dict.fromkeys([arguments.model, *arguments.victims.split(",")]):
        with opened(spec, arguments.input_range, arguments.flash_model) as victim:
            own = with_gradients(victim) if spec != arguments.model else model
            white = attacks.pgd(own, x, y, **ball, early_stop=False, **common) if has_gradients(own) else None
            line = attacks.deployed(victim, precision=arguments.precision,
                                    out=_file(arguments, f"answers-{len(rows)}.jsonl") if hasattr(victim, "link") else None)
            asked = attack(line, x, y, **settings, **common, quiet=arguments.quiet)
            rows.append({"victim": spec, "clean_accuracy": asked.clean_accuracy, "transferred": replay(victim, made).robust_accuracy,
                         "white_box": None if white is None else white.robust_accuracy, "by_queries": asked.robust_accuracy,
                         "queries": int(np.median(asked.queries)), "minutes": line.line_seconds / 60, "precision": line.precision})
    cells = [[row["victim"], f"{row['clean_accuracy']:.1%}", f"{row['transferred']:.1%}",
              "-" if row["white_box"] is None else f"{row['white_box']:.1%}", f"{row['by_queries']:.1%}", str(row["queries"]),
              f"{row['minutes']:.1f}", row["precision"]] for row in rows]
    head = ["network", "clean", f"images of {arguments.model}", "own gradients", f"by {attack.__name__}", "median queries", "minutes", "answers"]
    return {"rows": rows, "eps": eps, "n": len(x)}, table(head, cells)


def presets(arguments, attack, settings, model, x, y, classes):
    """Compare the settings of the student project's notebook with corrected ones."""
    from tinyvgg.attacks import presets as module
    if arguments.attack is not None or settings:
        raise OptionError("presets has its own settings; others are not possible", "the same with --data, -n and --batch-size alone")
    rows = module.compare(model, x, y, batch_size=arguments.batch_size, quiet=arguments.quiet)
    return {"rows": rows}, module.text(rows)


STUDIES = {"curve": curve, "transfer": transfer, "matrix": matrix, "steps": steps, "deployed": deployed, "presets": presets}


def _common(arguments, settings):
    return {**settings, "executor": arguments.place, "seed": arguments.seed, "batch_size": arguments.batch_size, "quiet": arguments.quiet}


def _file(arguments, name):
    return Path(arguments.out) / name if arguments.out else None


def _draw(arguments, function, *data, name):
    if arguments.out:
        try:
            function(*data, Path(arguments.out) / name)
        except MissingExtra as error:
            import sys
            print(f"tinyvgg: no figure: {error}", file=sys.stderr)
