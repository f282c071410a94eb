"""FlipPlan: which bits to flip, in which order, with what each step did; it applies, reverts, and is saved as JSON."""
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tinyvgg.errors import DataError, FormatError
from tinyvgg.faults import bits
from tinyvgg.faults.memories import MEMORIES, addresses, ecc, position
from tinyvgg.faults.store import check_model
from tinyvgg.report import record
from tinyvgg.report.shown import briefly
from tinyvgg.report.untrusted import read_json
from tinyvgg.types import PathLike

FORMAT, LARGEST = "tinyvgg.flips", 1 << 24


@dataclass(frozen=True)
class Flip:
    """Bit `bit` of number `index` (flat) of the stored array `tensor`; the number is `old` before and `new` after it."""
    tensor: str
    index: int
    bit: int
    old: float | int | str
    new: float | int | str

    @property
    def place(self):
        """(tensor, index, bit)."""
        return self.tensor, self.index, self.bit


@briefly
@dataclass(frozen=True)
class Step:
    """Flips made together. score: what the attack maximises; accuracy: on the images of the search; success: share of images that
    reached the goal."""
    flips: tuple
    score: float | None = None
    accuracy: float | None = None
    success: float | None = None


@briefly
@dataclass
class FlipPlan:
    """Steps for the model with this SHA-256 in this form ("file", "image"); facts: settings, seed, versions, accuracies."""
    model: str
    sha256: str
    form: str
    memory: str = "sram"
    steps: list = field(default_factory=list)
    facts: dict = field(default_factory=dict)

    @property
    def flips(self):
        """Every Flip in order."""
        return [flip for step in self.steps for flip in step.flips]

    def net(self):
        """The bits that differ in the end, [(tensor, index, bit)], in order of first use; bits flipped twice are left out."""
        count = {}
        for flip in self.flips:
            count[flip.place] = count.get(flip.place, 0) + 1
        return [place for place, n in count.items() if n % 2]

    @property
    def hamming(self):
        """Bits that differ in the end."""
        return len(self.net())

    def check(self, store: Any):
        """Raise FormatError or OptionError unless every flip fits the current `store`; nothing is changed."""
        check_model(store, self.sha256)
        if store.form != self.form:
            raise FormatError(f"the plan is for the {self.form} of {self.model}, this is its {store.form}", "search with --memory " +
                              ("file" if store.form == "file" else "sram"))
        seen = set()
        for flip in self.flips:
            store.check(*flip.place)
            if (flip.tensor, flip.index) not in seen:
                seen.add((flip.tensor, flip.index))
                now = bits.plain(store.arrays[flip.tensor].reshape(-1)[flip.index])
                if now != flip.old:
                    raise FormatError(f"{flip.tensor}[{flip.index}] is {now}; the plan expects {flip.old}", "the model before any flip")

    def apply(self, store: Any):
        """Flip the bits in `store`, all or none."""
        self.check(store)
        store.toggle(self.net())

    def revert(self, store: Any):
        """Undo the flips."""
        store.toggle(self.net())

    def positions(self, store: Any, bases: Any = None):
        """(byte address, bit of the byte) of every net flip; bases {tensor: address} from an ELF, else offsets."""
        bases = bases or addresses(store)
        return [position(bases, store.arrays[key], key, index, bit) for key, index, bit in self.net()]

    def ecc(self, store: Any, bases: Any = None):
        """What an ECC flash would do with the net flips: a row for each double word, see memories.ecc."""
        return ecc(self.positions(store, bases))

    def as_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {"format": FORMAT, "version": 1, "model": self.model, "sha256": self.sha256, "form": self.form, "memory": self.memory,
                "hamming": self.hamming, "steps": [asdict(step) for step in self.steps], "facts": self.facts}

    def save(self, path: PathLike) -> None:
        """Write the plan as JSON; an error leaves no half file."""
        record.write_json(path, self.as_dict())


def load_plan(path: PathLike) -> "FlipPlan":
    """Read a FlipPlan; FormatError for anything else."""
    path = Path(path)
    path = path / "plan.json" if path.is_dir() else path
    hint = "tinyvgg bitflip search MODEL --out RUN"
    try:
        return from_dict(read_json(path, LARGEST))
    except (FormatError, DataError) as error:
        raise FormatError(error.problem if str(path) in error.problem else f"{path}: {error.problem}", error.hint or hint) from error
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise FormatError(f"{path} is not a plan of bit flips", hint) from error


def from_dict(data: Any):
    """Return the FlipPlan of plain data."""
    if data.get("format") != FORMAT or data.get("version") != 1:
        raise FormatError("this is not a plan of bit flips")
    if data["form"] not in ("file", "image") or data["memory"] not in MEMORIES:
        raise FormatError(f"the plan is for {data['memory']!r} in {data['form']!r}; expected {', '.join(MEMORIES)} in file or image")
    steps = [Step(tuple(_flip(f) for f in row["flips"]), row["score"], row["accuracy"], row["success"]) for row in data["steps"]]
    return FlipPlan(str(data["model"]), str(data["sha256"]), data["form"], data["memory"], steps, dict(data["facts"]))


def _flip(row):
    if not all(isinstance(row[k], int) and not isinstance(row[k], bool) for k in ("index", "bit")):
        raise FormatError("the plan holds a flip without a place")
    return Flip(str(row["tensor"]), row["index"], row["bit"], row["old"], row["new"])


def flips_of(store: Any, places: Any):
    """Return Flips for [(key, index, bit)] on the current numbers; each includes the effect of those before it."""
    values, found = {}, []
    for key, index, bit in places:
        array = store.arrays[key].reshape(-1)
        old = values.get((key, index), array[index:index + 1])
        new = bits.flipped(old, bit)
        values[key, index] = new
        found.append(Flip(key, int(index), int(bit), bits.plain(old[0]), bits.plain(new[0])))
    return found


def accuracies(store: Any, plan: FlipPlan, x: Any, y: Any) -> list[float]:
    """Return the accuracy on x (N, H, W, C), y (N,) after each step of a plan; the store is left as it was."""
    found, done = [], []
    try:
        for step in plan.steps:
            places = [flip.place for flip in step.flips]
            store.toggle(places)
            done += places
            found.append(store.accuracy(x, y))
    finally:
        store.toggle(done[::-1])
    return found


def changes_of(store: Any, places: Any):
    """Return the new values [(key, index, value)] after flipping [(key, index, bit)]."""
    values = {}
    for key, index, bit in places:
        old = values.get((key, index), store.arrays[key].reshape(-1)[index:index + 1])
        values[key, index] = bits.flipped(old, bit)
    return [(key, index, value[0]) for (key, index), value in values.items()]
