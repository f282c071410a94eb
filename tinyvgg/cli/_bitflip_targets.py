"""The MODEL of `bitflip`: a model file, the ELF of firmware, or a port; and a plan of flips tried on the firmware itself."""
import contextlib
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tinyvgg.classifier import labels_of
from tinyvgg.errors import FormatError, OptionError
from tinyvgg.open import is_url, open_model


@dataclass
class Target:
    """A model and its Store; for firmware also its ELF, the addresses of the store's arrays, and the Board if a port was named.

    places: for a .tflite, the offsets of its arrays in the file.
    """
    model: object
    store: object
    elf: Path | None = None
    bases: dict | None = None
    board: object = None
    places: dict = field(default_factory=dict)

    @property
    def is_image(self):
        return self.elf is not None

    def address(self, tensor, index, bit):
        """Return the byte that holds a bit: its address in firmware, its offset in a .tflite, or None if that is unknown."""
        if not self.is_image:
            return self.places[tensor].byte(index, bit) if tensor in self.places else None
        from tinyvgg.faults.memories import position
        return position(self.bases, self.store.arrays[tensor], tensor, index, bit)[0]


@contextlib.contextmanager
def opened_target(arguments, form):
    """Yield the Target that `arguments.model` names, with flips in `form`; its board is connected, and closed at the end."""
    from tinyvgg import faults
    spec = arguments.model
    elf = _elf_of(spec, arguments.elf)
    if elf is None and not is_url(spec):
        strange = next((option for option, value in (("--elf", arguments.elf), ("--tvq", arguments.tvq), ("--keep", arguments.keep)) if value), None)
        if strange:
            raise OptionError(f"{strange} is of an .elf or a port; {spec} is a model file", f"the same without {strange}")
        model = open_model(spec, input_range=arguments.input_range)
        yield Target(model, faults.open_store(model, form), places=_places(spec) if form == "file" else {})
        return
    if form != "image":
        raise OptionError(f"the memory file is a model's own file; {spec} is an image",
                          "--memory sram, or the .tvq in the firmware's folder")
    if elf is None:
        raise OptionError(f"the addresses of the weights behind {spec} are not known",
                          "--elf FILE.elf, the image that the board runs")
    model = _model_of(elf, arguments.tvq)
    store = faults.open_store(model)
    from tinyvgg.faults.elf import bases
    target = Target(model, store, elf, bases(store, elf))
    with contextlib.ExitStack() as stack:
        if is_url(spec):
            tensors = arguments.tensors or ("all" if arguments.action == "map" else "weights")
            target.board = stack.enter_context(_board(spec, target, tensors))
        yield target


def _places(spec):
    if Path(spec).suffix != ".tflite":
        return {}
    from tinyvgg.io.tflite.places import places
    return places(spec)


def _elf_of(spec, given):
    if not is_url(spec):
        return Path(spec) if Path(spec).suffix == ".elf" else None
    return Path(given) if given else Path(spec.removeprefix("virtual:")) if spec.startswith("virtual:") else None


def _model_of(elf, given):
    from tinyvgg.io import load_model
    path = Path(given) if given else elf.with_suffix(".tvq")
    if not path.exists():
        raise FormatError(f"{path} is not there: the model of {elf.name}",
                          "--tvq FILE.tvq, which firmware build wrote next to the firmware")
    model = load_model(path)
    if not hasattr(model, "graph"):
        raise OptionError(f"{path} is a trained network; expected the model as the image computes it",
                          "--tvq FILE.tvq, which firmware build wrote next to the firmware")
    return model


def _board(port, target, tensors):
    """Return the board at `port`; raise unless it runs the model and the chosen arrays can be changed."""
    from tinyvgg.board import Board
    from tinyvgg.faults.elf import RAM, check_access
    board = Board(port, "tinyvgg", sha256=target.store.sha256)
    try:
        check_access(board)
        fixed = [key for key in target.store.select(tensors) if target.bases[key] < RAM]
        if fixed and getattr(board.link, "machine", None) is None:
            raise OptionError(f"{fixed[0]} lies in flash at {target.bases[fixed[0]]:#010x}, which the firmware does not write",
                              "firmware build --weights ram --memory-access, or --tensors weights")
    except BaseException:
        board.close()
        raise
    return board


def addresses_of(target, plan):
    """Return rows {"tensor", "index", "bit", "address"} for those net flips of a plan whose address is known."""
    return [{"tensor": t, "index": i, "bit": b, "address": f"{at:#010x}"} for t, i, b in plan.net()
            if (at := target.address(t, i, b)) is not None]


def on_image(target, plan, x, y, *, patch=None, keep=False, quiet=True):
    """Apply a plan to the firmware, let the board classify x before and after, and compare with the simulation.

    An ELF is patched (into the file `patch`, else a temporary one) and run on a virtual board. The memory of a board is changed
    while it runs, and changed back unless `keep`. Returns {"n", "accuracy_before", "accuracy_after", "agreement", "different"}:
    agreement is the share of images whose raw logits equal the simulation's, before and after; None if an ECC flash raises an
    NMI.
    """
    from tinyvgg.faults.memories import MEMORIES, surviving
    store, y = target.store, np.asarray(y).reshape(-1)
    passed, verdicts = surviving(store, plan.net(), MEMORIES[plan.memory], target.bases)
    if any(v["verdict"] == "nmi" for v in verdicts):
        return {"n": 0, "accuracy_before": None, "accuracy_after": None, "agreement": None, "different": [], "stopped": "NMI"}
    plan = _only(plan, store, passed)
    expected = [store.logits(x)]
    plan.apply(store)
    expected.append(store.logits(x))
    plan.revert(store)
    answers = (_on_board if target.board else _on_elf)(target, plan, x, patch, keep)
    same = [_same(a, b) for a, b in zip(answers, expected, strict=True)]
    before, after = (float((labels_of(a, broken=-1) == y).mean()) for a in answers)
    return {"n": len(x), "accuracy_before": before, "accuracy_after": after, "agreement": float(np.mean(same)),
            "different": sorted({int(i) for s in same for i in np.flatnonzero(~s)})[:20]}


def _same(answers, expected):
    """Return which images (n,) have the simulation's logits: integers must be equal, floats within 1e-5, because their sums are
    in another order."""
    with np.errstate(all="ignore"):
        near = np.abs(answers - expected) <= 1e-5 * np.abs(expected).max(axis=1, keepdims=True)
    return ((answers == expected) | near | np.isnan(answers) & np.isnan(expected)).all(axis=1)


def _only(plan, store, places):
    from tinyvgg.faults.plan import FlipPlan, Step, flips_of
    return FlipPlan(plan.model, plan.sha256, plan.form, plan.memory, [Step(tuple(flips_of(store, places)))])


def _on_board(target, plan, x, patch, keep):
    from tinyvgg.faults.elf import patch_board
    if patch:
        raise OptionError(f"--patch {patch} is for files; {target.board.link.url} is a board",
                          "--keep keeps the flips in its memory")
    before = target.board.logits(x)
    patch_board(plan, target.store, target.board, target.bases)
    try:
        return [before, target.board.logits(x)]
    finally:
        if not keep:
            patch_board(plan, target.store, target.board, target.bases, back=True)


def _on_elf(target, plan, x, patch, keep):
    from tinyvgg.board import Board
    from tinyvgg.faults.elf import patch_elf
    with tempfile.TemporaryDirectory(prefix="tinyvgg-") as folder:
        patched = Path(patch) if patch else Path(folder) / "patched.elf"
        patch_elf(plan, target.store, target.elf, patched)
        answers = []
        for elf in (target.elf, patched):
            with Board(f"virtual:{elf}") as board:
                answers.append(board.logits(x))
        return answers
