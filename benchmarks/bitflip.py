"""Bit flips on the zoo's light net, all tables of docs/bit-flips.md: python benchmarks/bitflip.py --data cifar10

Every task is measured once and kept in --out (benchmarks/results/bitflip.json); a stopped run goes on, --seconds N stops by itself
after so many of CPU (between tasks, or steps of a search), --only PREFIX takes some of them. Another model, or other data, begins anew.
Then the tables are printed as Markdown; --docs FILE puts them between its two marks, --figures DIR draws the curves and the heat map.
"""
import json
import time
from collections import Counter
from pathlib import Path

import fill_docs
import numpy as np
from bitflip_tables import figures, tables
from common import option_parser

from tinyvgg import data, faults, io, zoo
from tinyvgg.faults.adaptive import evade_radar
from tinyvgg.faults.defences import Crc, Radar, Ranges, Replicas, trial
from tinyvgg.faults.plan import FlipPlan, Step, flips_of
from tinyvgg.faults.victim import victim_of
from tinyvgg.report import record

COMMAND = "python benchmarks/bitflip.py --data cifar10 --docs docs/bit-flips.md --figures docs/figures"
SEEDS, FLIPS, CURVE, CHANCE = 5, 20, 500, 0.11
FAULTS = {"set": {"fault": "set"}, "clear": {"fault": "clear"}, "zero_dword": {"fault": "zero_dword"}, "flash_ecc": {"memory": "flash_ecc"}}
TENSORS = {"bias": "bias", "offset, multiplier": "requantisation"}
DEFENCES = {"crc": Crc, "radar=512": lambda s: Radar(s, 512), "radar=128": lambda s: Radar(s, 128), "radar=32": lambda s: Radar(s, 32),
            "ranges=32": lambda s: Ranges(s, 32), "replicas": Replicas}
BOARD = ("", "crc", "radar=512", "radar=128", "radar=32", "ranges=32", "replicas", "crc,replicas")


class Later(Exception):
    """The time is used up; what was done is kept."""


class Setting:
    """The model in its forms, the data, and where plans in the making are kept."""

    def __init__(self, entry, source, work, seconds=None):
        from tinyvgg.quant.schemes import compress
        self.seconds = seconds
        self.network, self.dataset = zoo.load(entry), data.load(source)
        self.work = work / record.sha256_arrays(*self.network.get_weights())[:12]
        self.compress = lambda scheme: compress(self.network, scheme, *self.dataset.part("train", 512))
        self.int8 = self.model("int8")
        self.store = faults.open_store(self.int8)
        self.facts = {"entry": entry, "sha256": self.int8.sha256, "data": self.dataset.name, "data_sha256": self.dataset.sha256,
                      "versions": record.versions()}
        self.x, self.y = self.dataset.part("test")
        # As many of each class: who answers one class alone is right in a tenth.
        few = np.sort(np.concatenate([np.flatnonzero(self.y == c)[:CURVE // 10] for c in range(10)]))
        self.few = self.x[few], self.y[few]

    def model(self, scheme):
        """The network compressed, once."""
        path = self.work / f"{scheme}.tvq"
        if not path.exists():
            self.compress(scheme).save(path)
        return io.load_model(path)

    def search(self, name, store, seed=0, **options):
        """A plan (resumed where it was begun) and its CPU seconds, those of runs before included."""
        xs, ys = faults.attacker_images(*self.dataset.part("train"), 128, seed)
        out, most = self.work / name.replace("/", "-").replace(", ", "-"), options.pop("flips")
        kept = len(faults.load_plan(out).steps) if (out / "plan.json").exists() else 0
        for flips in [*range(min(kept + 2, most), most, 2), most]:
            started = time.process_time()
            plan = faults.progressive_search(store, xs, ys, flips=flips, trials=1, seed=seed, out=out, **options)
            with open(out / "seconds", "a") as file:
                print(time.process_time() - started, file=file)
            if flips < most:
                self.check_time()
        return plan, sum(map(float, (out / "seconds").read_text().split()))

    def check_time(self):
        """Raise Later where the time is used up."""
        if self.seconds is not None and time.process_time() > self.seconds:
            raise Later

    def curve(self, store, plan):
        """Accuracy on the first test images after 0, 1, ... steps."""
        x, y = self.few
        victim = victim_of(store, x)
        found = [float((victim.logits.argmax(axis=1) == y).mean())]
        for step in plan.steps:
            victim.commit([flip.place for flip in step.flips])
            found.append(float((victim.logits.argmax(axis=1) == y).mean()))
        store.toggle(plan.net())
        return found

    def whole(self, store, plan):
        """Accuracy on the whole test part."""
        plan.apply(store)
        try:
            return store.accuracy(self.x, self.y)
        finally:
            plan.revert(store)


def searched(setting, name, store, seed=0, whole=True, **options):
    """One search: its curve, its end, its flips."""
    plan, seconds = setting.search(name, store, seed, **options)
    curve = setting.curve(store, plan)
    low, places = [i for i, a in enumerate(curve) if a <= CHANCE], [[list(f.place) for f in step.flips] for step in plan.steps]
    return {"seed": seed, "steps": len(plan.steps), "hamming": plan.hamming, "cpu_seconds": round(seconds, 1), "curve": curve,
            "reached": low[0] if low else None, "accuracy": setting.whole(store, plan) if whole else curve[-1],
            "accuracy_20": setting.whole(store, plan_of(store, places, FLIPS)) if whole else None, "places": places, "bits": _bits(plan),
            "stopped": plan.facts.get("stopped")}


def _bits(plan):
    """{bit: how often}."""
    found = Counter(str(flip.bit) for flip in plan.flips)
    return dict(sorted(found.items(), key=lambda item: -int(item[0])))


def plan_of(store, places, count=None):
    """The FlipPlan of a row's places, its first `count` steps."""
    steps, now = [], {}
    for step in places[:count]:
        flips = []
        for key, index, bit in step:
            flips += flips_of(store, [*now.get((key, index), []), (key, index, bit)])[-1:]
            now.setdefault((key, index), []).append((key, index, bit))
        steps.append(Step(tuple(flips)))
    return FlipPlan(store.name, store.sha256, store.form, "sram", steps)


def clean(setting, rows):
    return {"accuracy": setting.store.accuracy(setting.x, setting.y), "accuracy_500": setting.store.accuracy(*setting.few),
            "n": len(setting.x), "float": faults.open_store(setting.network).accuracy(setting.x, setting.y)}


def random_whole(setting, rows, seed):
    return faults.random_flips(setting.store, setting.x, setting.y, counts=(FLIPS,), seeds=1, seed=seed)[0]


def random_few(setting, rows, count):
    return {"rows": faults.summarise(faults.random_flips(setting.store, *setting.few, counts=(count,), seeds=SEEDS))}


def exponent(setting, rows):
    """Bit 30 of weights of each layer, four of either sign where |w| < 2: accuracy on the first test images."""
    from tinyvgg.rng import generator
    store, found = faults.open_store(setting.network), []
    for key in (k for k in store.arrays if k.endswith("kernel")):
        flat = store.arrays[key].reshape(-1)
        for sign in (1, -1):
            able = np.flatnonzero((np.abs(flat) < 2) & (np.sign(flat) == sign))
            after = []
            for index in generator(0, "benchmark", "exponent", key, str(sign)).choice(able, 4, replace=False):
                store.toggle([(key, int(index), 30)])
                after.append(store.accuracy(*setting.few))
                store.toggle([(key, int(index), 30)])
            found.append({"array": key, "sign": sign, "lowest": min(after), "median": float(np.median(after)), "highest": max(after)})
    return {"rows": found, "clean": store.accuracy(*setting.few)}


def shared(setting, rows, tensors):
    model = setting.model("shared4")
    store = faults.open_store(model)
    name = f"shared4/{tensors}"
    return {"clean": store.accuracy(*setting.few), "sha256": model.sha256, **searched(setting, name, store, whole=False, flips=10,
                                                                                        tensors=tensors)}


def shift(setting, rows):
    """Every bit of every shift."""
    xs, ys = setting.few
    found = faults.sensitivity_map(setting.store, xs, ys, tensors=[k for k in setting.store.arrays if k.endswith("/tail_shift")], samples=None)
    return {"rows": found}


def heat(setting, rows, key):
    xs, ys = faults.attacker_images(*setting.dataset.part("train"), 128, 0)
    return {"rows": faults.sensitivity_map(setting.store, xs, ys, tensors=[key], samples=8)}


def clipped(setting, rows, deviations):
    """The same search on the network with its outliers cut off."""
    from tinyvgg.faults.hardening import clip_weights
    from tinyvgg.quant.schemes import compress
    path = setting.work / f"clipped{deviations}.tvq"
    if not path.exists():
        compress(clip_weights(setting.network, deviations), "int8", *setting.dataset.part("train", 512)).save(path)
    store = faults.open_store(io.load_model(path))
    return {"clean": store.accuracy(setting.x, setting.y), **searched(setting, f"clipped{deviations}", store, flips=FLIPS)}


def defended(setting, rows, name, seed):
    store = setting.store
    plan = plan_of(store, rows[f"search/{seed}"]["places"], FLIPS)
    defence = DEFENCES[name](store)
    row = trial(store, plan, defence, *setting.few)
    if isinstance(defence, Radar):
        row |= _zeroed(store, plan, defence)
    return row


def _zeroed(store, plan, radar):
    """What share of each array's weights RADAR sets to zero."""
    plan.apply(store)
    groups = radar.groups(store)
    plan.revert(store)
    return {"zeroed": {key: len(groups.get(key, ())) / radar.counts[key] for key in radar.keys}}


def adaptive(setting, rows, kind):
    """Attackers who know that RADAR with groups of 128 watches the int8 weights."""
    store, radar = setting.store, Radar(setting.store, 128)
    if kind.startswith("pairs"):
        plan = evade_radar(plan_of(store, rows["search/0"]["places"], FLIPS), store, radar, knows_key="without" not in kind)
        row = {"steps": len(plan.steps), "hamming": plan.hamming, "accuracy": setting.whole(store, plan)}
    else:
        options = {"bits 0-6": {"only_bits": range(7)}, "bits 0-5": {"only_bits": range(6)}, "other arrays": {"tensors": "bias,requantisation"}}
        row = searched(setting, f"adaptive/{kind}", store, flips=FLIPS, **options[kind])
        plan = plan_of(store, row["places"])
    return {**row, **{f"with {name}": trial(store, plan, made(store), *setting.few) for name, made in
                      (("radar", lambda s: radar), ("crc", Crc), ("replicas", Replicas))}}


def board(setting, rows, defence):
    """The same network as firmware, constants in RAM: bytes, cycles of the check at the start and of an inference."""
    from tinyvgg.board import Board
    from tinyvgg.firmware.network import build_network
    network = build_network(setting.int8, setting.work / "board", name="light", weights="ram", defence=defence)
    with Board(f"virtual:{network.image.elf}") as there:
        answers = there.infer(setting.x[:2])
        check = there.check_constants(anew=False) if defence else {"cycles": 0, "found": 0}
        clock = there.info.clock_hz
    if check["found"] or not (answers.raw == setting.int8.integer_logits(setting.x[:2])).all():
        raise AssertionError(f"{defence}: the unharmed board does not answer as its simulation")
    return {"flash": network.image.flash_bytes, "ram": network.image.ram_bytes, "check_cycles": check["cycles"],
            "inference_cycles": int(answers.cycles.mean()), "clock_hz": clock, "compiler": network.image.compiler}


def tasks(setting):
    """{name: function(setting, rows)}, in an order in which each comes after what it needs."""
    def bind(function, *arguments, **options):
        return lambda setting, rows: function(setting, rows, *arguments, **options)
    found = {"clean": clean}
    for seed in range(SEEDS):
        found[f"search/{seed}"] = lambda setting, rows, seed=seed: searched(setting, f"search/{seed}", setting.store, seed, flips=FLIPS + 5)
        found[f"random/{seed}"] = bind(random_whole, seed)
    found |= {f"board/{name or 'none'}": bind(board, name) for name in BOARD}
    for seed in range(SEEDS):
        found |= {f"defence/{name}/{seed}": bind(defended, name, seed) for name in DEFENCES}
    found |= {f"random few/{count}": bind(random_few, count) for count in (1, 10, 100, 1000)}
    found |= {"exponent": exponent, "shared4/codebook": bind(shared, "codebook"), "shared4/index": bind(shared, "index"), "shift": shift}
    for kind, options in {**{k: {"tensors": t} for k, t in TENSORS.items()}, **FAULTS}.items():
        found[f"kind/{kind}"] = lambda setting, rows, kind=kind, options=options: searched(setting, f"kind/{kind}", setting.store, whole=False,
                                                                                            flips=10, **options)
    found |= {f"adaptive/{kind}": bind(adaptive, kind) for kind in ("pairs", "pairs without the key", "bits 0-6", "bits 0-5", "other arrays")}
    found |= {f"clipped/{deviations}": bind(clipped, deviations) for deviations in (3.0, 2.0)}
    found |= {f"heat/{key}": bind(heat, key) for key in setting.store.arrays if not key.endswith("/tail_shift")}
    return found


def kept(path, facts):
    """The rows that `path` holds of this model and data."""
    found = json.loads(path.read_text()) if path.exists() else {}
    return found["rows"] if all(found.get("facts", {}).get(k) == facts[k] for k in ("sha256", "data_sha256")) else {}


def main():
    parser = option_parser(__doc__, data="cifar10", out=Path(__file__).parent / "results" / "bitflip.json", json=bool)
    parser.add_argument("--entry", default="light_cifar10", help="zoo entry (default light_cifar10)")
    parser.add_argument("--work", type=Path, default=Path("runs/bitflip-benchmark"), help="folder of plans in the making and of images")
    parser.add_argument("--only", default="", help="tasks whose names begin so, separated by commas")
    parser.add_argument("--seconds", type=float, help="stop after so many seconds of CPU")
    parser.add_argument("--figures", type=Path, help="folder for the figures")
    parser.add_argument("--docs", type=Path, help="page to fill from benchmarks/results, as fill_docs.py does")
    a = parser.parse_args()
    setting = Setting(a.entry, a.data, a.work, a.seconds)
    rows = kept(a.out, setting.facts)
    todo = [(name, task) for name, task in tasks(setting).items() if name not in rows and name.startswith(tuple(a.only.split(",")))]
    for i, (name, task) in enumerate(todo):
        before = time.process_time()
        try:
            setting.check_time()
            rows[name] = task(setting, rows)
        except Later:
            print(f"{len(todo) - i} tasks are left: the same command goes on")
            return
        print(f"{name}: {time.process_time() - before:.1f} s of CPU", flush=True)
        rows = {**kept(a.out, setting.facts), name: rows[name]}            # another run may have added some
        lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(row)}" for name, row in rows.items())
        head = f'"command": {json.dumps(COMMAND)},\n"facts": {json.dumps(setting.facts)}'
        record.write_bytes(a.out, f'{{{head},\n"rows": {{\n{lines}\n}}}}\n')
    if a.json:
        print(json.dumps(rows))
    else:
        print(tables(rows, setting.facts))
    if a.docs:
        fill_docs.fill(a.docs)
    if a.figures:
        figures(rows, a.figures)


if __name__ == "__main__":
    main()
