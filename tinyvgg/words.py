"""The nearest right word: for a mistyped name, and for the name that the same thing has in another library."""
import difflib

# What others call an option -> ours, the likeliest first. Without dashes; "_" and "-" are the same.
OPTIONS = {
    "eps": "epsilon epsilons radius max-perturbation magnitude perturbation",
    "steps": "iterations iteration iters iter num-iter num-steps n-iter n-iters max-iter max-iterations nb-iter",
    "step": "alpha eps-iter eps-step step-size stepsize rel-stepsize",
    "restarts": "num-restarts n-restarts num-random-init nb-random-init",
    "random-start": "rand-init random-init",
    "queries": "max-queries n-queries query-limit num-queries",
    "budget": "max-queries query-budget",
    "norm": "ord p distance metric norm-type",
    "target": "targeted target-class y-target",
    "learning-rate": "lr rate eta step-size",
    "batch-size": "batch bs batchsize minibatch mini-batch",
    "epochs": "iterations epoch num-epochs n-epochs nb-epochs",
    "optimizer": "optimiser optim solver",
    "schedule": "scheduler lr-schedule lr-scheduler decay",
    "validation": "validation-split val val-split valid val-size",
    "patience": "early-stopping early-stop",
    "augment": "augmentation augmentations transforms",
    "weights": "pretrained init-from checkpoint",
    "arch": "architecture network net model-name backbone",
    "classes": "num-classes n-classes nb-classes",
    "n": "num number count samples n-samples num-samples limit images num-images",
    "limit": "n samples num-samples n-samples subset",
    "data": "dataset data-set input inputs",
    "out": "output output-dir outdir out-dir output-folder save save-to dest destination o",
    "seed": "random-seed random-state rng",
    "quiet": "silent verbose verbosity q v",
    "json": "format output-format as-json",
    "scheme": "bits precision compression quantization quantisation dtype method",
    "compression": "scheme level",
    "flash": "max-flash rom flash-size flash-budget",
    "ram": "max-ram sram ram-size memory",
    "port": "device serial tty url address com",
    "baud": "baudrate baud-rate speed",
    "flips": "num-flips n-flips bits nb-flips count",
    "board": "mcu target device chip",
    "resume": "continue restart",
}
ATTACKS = {
    "pgd": "bim i-fgsm ifgsm madry projected-gradient-descent basic-iterative-method linf-pgd",
    "fgsm": "fgm fast-gradient fast-gradient-method fast-gradient-sign-method goodfellow",
    "mifgsm": "mi-fgsm momentum mim",
    "apgd": "auto-pgd autopgd apgd-ce apgd-dlr",
    "apgd_t": "apgd-targeted",
    "fab": "fab-t",
    "square": "square-attack simba zoo",
    "deepfool": "deep-fool df",
    "cw": "carlini carlini-wagner carlini-and-wagner cw-l2 c&w cwl2",
    "fmn": "fast-minimum-norm",
    "hopskipjump": "hsj hop-skip-jump boundary boundary-attack",
    "rays": "ray ray-search",
    "noise": "gaussian uniform salt salt-and-pepper random",
    "ladder": "aa auto autoattack auto-attack standard ensemble",
}
VERBS = {"evaluate": "eval test predict score accuracy", "train": "fit", "compress": "quantize quantise quantization prune",
         "attack": "adversarial pgd fgsm autoattack", "summary": "info show print", "bitflip": "flip faults fault inject",
         "firmware": "build flash", "convert": "export import", "look": "gradcam grad-cam explain visualize", "analyze": "analyse size",
         "crosscheck": "compare x-cube-ai xcubeai stedgeai", "codegen": "generate c-code", "demo": "story start quickstart"}


def nearest(word, known, others=None):
    """Return the one of `known` that `word` seems to mean, or None.

    others: {a right word: what other people call it, separated by spaces}.
    """
    plain = _plain(word)
    by_plain = {_plain(name): name for name in known}
    if plain in by_plain:
        return by_plain[plain]
    for name, called in (others or {}).items():
        if plain in called.split() and _plain(name) in by_plain:
            return by_plain[_plain(name)]
    near = difflib.get_close_matches(plain, by_plain, 1)
    return by_plain[near[0]] if near else None


def did_you_mean(word, known, others=None):
    """Return "; did you mean WORD?" for the nearest of `known`, or nothing."""
    near = nearest(word, known, others)
    return f"; did you mean {near}?" if near else ""


def _plain(word):
    return str(word).lstrip("-").lower().replace("_", "-")
