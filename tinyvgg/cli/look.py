"""Look inside a network: each layer's maps, floats and integers, a clean image and an attacked one

MODEL is a trained network or a compressed one (.tvq). A trained network is compared with --against FILE.tvq, or with the integers
that `compress --scheme` would make of it (default int8; none: floats alone). For each layer it prints the range, the signal-to-noise
ratio of the integers in dB, and how far the attack moves the result. The attack uses the floats (for a .tvq its integers, with
gradients as if nothing were rounded); floats and integers see the same images.

    tinyvgg look light_cifar10 --image 3 --data cifar10 --out look.png
    tinyvgg look runs/first --data shapes --scheme shared4 --attack none --out look.png
    tinyvgg look light.h5 --against light.tvq --image 7 --data cifar10 --attack fgsm --eps 4/255 --json
"""
from tinyvgg.attacks.norms import default_eps
from tinyvgg.cli._classifier import add_data, add_model, images_for, with_gradients
from tinyvgg.cli._common import add_common, note, print_result
from tinyvgg.errors import OptionError
from tinyvgg.images import float_images
from tinyvgg.open import open_model
from tinyvgg.report.plots import check_figure

CALIBRATION_IMAGES = 512


def add_arguments(parser):
    add_model(parser)
    parser.add_argument("--image", type=int, default=0, metavar="N", help="which test image, from 0 (default 0)")
    add_data(parser)
    parser.add_argument("--against", metavar="FILE.tvq", help="the integer model to compare with the floats")
    parser.add_argument("--scheme", metavar="SCHEME", help="or the scheme by which this model is made (default int8; none: only floats)")
    parser.add_argument("--attack", default="pgd", metavar="NAME", help="an attack of `tinyvgg attack`, or none (default pgd)")
    parser.add_argument("--eps", metavar="E", help="largest change that the attack may make (default 8/255 of the range of the model's images)")
    parser.add_argument("--channels", type=int, default=8, metavar="N", help="maps of a layer that are drawn (default 8)")
    parser.add_argument("--out", metavar="FILE.png", help="where the figure goes (.png, .svg, .pdf)")
    add_common(parser)


def run(arguments):
    a = arguments
    if a.channels < 1:
        raise OptionError(f"--channels is {a.channels}; expected 1 or more")
    if a.out:
        check_figure(a.out)
    _attack_of(a.attack, a.eps or 0)
    model = open_model(a.model, input_range=a.input_range, board=False)
    against = None if a.against is None else open_model(a.against, board=False)
    result, seen, classes = look_at(model, a.data, image=a.image, against=against, scheme=a.scheme, attack=a.attack, eps=a.eps,
                                    seed=a.seed)
    if a.out:
        from tinyvgg.report import map_plots
        map_plots.layer_maps(seen.layers, a.out, title=_title(result), classes=classes, channels=a.channels)
        result["out"] = a.out
    elif not a.json:
        note(a, "no figure was asked for; --out look.png draws one")
    print_result(a, result, _text(result))


def look_at(model, data=None, *, image=0, against=None, scheme=None, attack="pgd", eps=None, seed=0):
    """Return (plain data, analyze.Look, class names) for a test image of a data set, as shown by `tinyvgg look`.

    model: a network or a compressed model; data: spec or DataSet; against: a QuantizedModel, or scheme: one of
    quant.schemes.SCHEMES; attack: a name of attacks.ATTACKS or "none".
    """
    from tinyvgg.analyze.maps import look
    from tinyvgg.data import load_for
    dataset = load_for(model, data)
    images, labels = images_for(model, dataset, "test")
    if not 0 <= image < len(images):
        raise OptionError(f"--image is {image}; {dataset.name} has test images 0 to {len(images) - 1}")
    chosen = _attack_of(attack, default_eps(model.bounds) if eps is None else eps)
    integer = _integer(model, against, scheme, dataset, seed)
    x, y = float_images(images[image : image + 1], model.bounds), labels[image : image + 1]
    if eps is not None and chosen is not None and "eps" not in chosen[1]:
        raise OptionError(f"{attack} looks for the nearest image that fools and has no eps", "the same without --eps")
    attacked = None if chosen is None else chosen[0](with_gradients(model), x, y, seed=seed, **chosen[1])
    seen = look(model, x[0], None if attacked is None else attacked.x_adv[0], integer=integer)
    names = [str(c) for c in dataset.classes] if dataset.n_classes == model.n_classes else list(map(str, range(model.n_classes)))
    result = {"image": image, **dataset.told("test", 1), "true": names[int(y[0])],
              "answers": {column: names[label] for column, label in seen.labels.items()}, "attack": None, "seed": seed,
              **seen.numbers()}
    if attacked is not None:
        norms = {name: float(attacked.norms[name][0]) for name in ("linf", "l2")}
        result["attack"] = {"name": attack, "eps": attacked.config.get("eps"), "fooled": bool(attacked.success[0]), **norms,
                            "flags": attacked.flags}
    return result, seen, names


def _integer(model, against, scheme, dataset, seed):
    """Return the integer model to compare with `model`, or None."""
    from tinyvgg.quant.compressed import CompressedModel
    from tinyvgg.quant.model import QuantizedModel
    from tinyvgg.quant.schemes import FLOAT, SCHEMES, compress
    if against is not None and scheme is not None:
        raise OptionError("--against and --scheme both name the integer model; expected one of them")
    if hasattr(model, "graph") and (against is not None or scheme is not None):
        raise OptionError("MODEL is compressed already; --against and --scheme are for the network that it was made of",
                          "the .h5, or the same without them")
    if against is not None:
        if not isinstance(against, QuantizedModel):
            raise OptionError("--against names a model of floats; expected an integer model", "tinyvgg compress --scheme int8")
        return against
    if isinstance(model, CompressedModel | QuantizedModel) or scheme == "none":
        return None
    if scheme in FLOAT or scheme == "auto" or scheme is not None and scheme not in SCHEMES:
        raise OptionError(f"--scheme is {scheme!r}; expected one of integers without a budget, or none",
                          "--scheme int8, or --against FILE.tvq")
    x, _ = images_for(model, dataset, "train", CALIBRATION_IMAGES)
    return compress(model, scheme or "int8", x, seed=seed)


def _attack_of(name, eps):
    """Return (the attack of that name, its settings), or None for "none"; raise OptionError for a wrong name or radius."""
    import inspect

    from tinyvgg import attacks
    from tinyvgg.attacks.norms import parse_eps
    if name == "none":
        return None
    if name not in attacks.ATTACKS:
        raise OptionError(f"there is no attack {name!r}; expected none or one of {', '.join(attacks.ATTACKS)}")
    function = attacks.ATTACKS[name]
    return function, {"eps": parse_eps(eps)} if "eps" in inspect.signature(function).parameters else {}


def _title(result):
    answers = ", ".join(f"{column.replace('_', ' ')}: {name}" for column, name in result["answers"].items())
    return f"image {result['image']} of {result['data']}, a {result['true']}.  {answers}"


def _text(result):
    """Return a line for each layer."""
    lines = [_title(result), f"floats: {result['float_source']}"]
    if result["attack"]:
        attack = result["attack"]
        outcome = "fooled" if attack["fooled"] else "not fooled"
        lines.append(f"{attack['name']}: {outcome}, linf {attack['linf']:.4g}, l2 {attack['l2']:.4g}")
        lines += [f"! {flag}" for flag in attack["flags"]]
    lines.append(_columns("layer", "shape", "range", "SNR dB", "saturated", "attack moves"))
    for row in result["layers"]:
        low, high = next(iter(row["range"].values()))
        moved = (row["distance_float"] or row["distance_integer"] or {}).get("relative_l2")
        lines.append(_columns(row["name"][:21], "x".join(map(str, row["shape"])), f"{low:.3g} .. {high:.3g}",
                              _or_dash(row["snr_db_clean"], ".1f"), _or_dash(row["saturated"], ".1%"), _or_dash(moved, ".1%")))
    return "\n".join([*lines, *([f"figure in {result['out']}"] if "out" in result else [])])


def _columns(name, shape, span, snr, saturated, moved):
    return f"{name:<22}{shape:<14}{span:<20}{snr:>8}{saturated:>11}{moved:>14}"


def _or_dash(value, form):
    return "-" if value is None else format(value, form)
