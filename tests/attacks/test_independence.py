"""An image's result depends on the image, its label, the settings and the seed: not on batches, order, company, threads or a stop."""
import contextlib
import functools

import numpy as np
import pytest

from tinyvgg import attacks
from tinyvgg.attacks.identity import own_default, takes
from tinyvgg.errors import OptionError
from tinyvgg.kernels.fast import cores, threads
from tinyvgg.nn import Sequential
from tinyvgg.nn.layers import BatchNormalization, Conv2D, Dense, Flatten, InputLayer, MaxPooling2D
from tinyvgg.report.record import sha256_arrays

ATTACKS = {
    "noise": functools.partial(attacks.noise, eps=0.1, tries=2), "fgsm": functools.partial(attacks.fgsm, eps=0.03),
    "pgd": functools.partial(attacks.pgd, eps=0.02, steps=4, restarts=2), "pgd_l2": functools.partial(attacks.pgd, eps=0.3, norm="l2", steps=3),
    "pgd_l1": functools.partial(attacks.pgd, eps=3, norm="l1", steps=3, random_start=True),
    "mifgsm": functools.partial(attacks.mifgsm, eps=0.02, steps=4), "apgd": functools.partial(attacks.apgd, eps=0.02, steps=6),
    "apgd_t": functools.partial(attacks.apgd_t, eps=0.02, steps=5, targets=2),
    "fab": functools.partial(attacks.fab, steps=4, targets=2, restarts=2), "deepfool": functools.partial(attacks.deepfool, steps=5),
    "cw": functools.partial(attacks.cw, steps=20, searches=2, constant=1.0), "fmn": functools.partial(attacks.fmn, steps=8),
    "square": functools.partial(attacks.square, eps=0.05, queries=12), "square_l2": functools.partial(attacks.square, eps=0.5, norm="l2", queries=8),
    "hopskipjump": functools.partial(attacks.hopskipjump, steps=2, draws=10, tries=5),
    "hopskipjump_linf": functools.partial(attacks.hopskipjump, steps=2, draws=10, tries=5, norm="linf"),
    "rays": functools.partial(attacks.rays, queries=30), "ladder": functools.partial(attacks.ladder, eps=0.2),
}
# The other norms, losses and versions. With the table above, each attack in each norm that it has (test_the_tables_are_whole).
MORE = {
    **{f"{name}_{norm}": functools.partial(attacks.ATTACKS[name], eps={"l2": 0.4, "l1": 3.0}[norm], norm=norm, **settings)
       for name, settings in {"noise": {"tries": 2}, "fgsm": {}, "mifgsm": {"steps": 3}, "apgd": {"steps": 6, "loss": "dlr"},
                              "apgd_t": {"steps": 5, "targets": 2}}.items() for norm in ("l2", "l1")},
    **{f"noise_{kind}": functools.partial(attacks.noise, eps=0.05, kind=kind) for kind in ("sign", "gaussian", "salt")},
    "fab_l2": functools.partial(attacks.fab, steps=3, targets=2, norm="l2", restarts=2),
    "fab_l1": functools.partial(attacks.fab, steps=3, norm="l1", towards="nearest"), "fab_eps": functools.partial(attacks.fab, steps=3, eps=0.02),
    "fmn_linf": functools.partial(attacks.fmn, steps=6, norm="linf"), "fmn_l1": functools.partial(attacks.fmn, steps=6, norm="l1"),
    "deepfool_linf": functools.partial(attacks.deepfool, steps=4, norm="linf"),
    "square_l1": functools.partial(attacks.square, eps=4, norm="l1", queries=8), "rays_eps": functools.partial(attacks.rays, queries=30, eps=0.1),
    "pgd_grid": functools.partial(attacks.pgd, eps=0.02, steps=3, grid=255, early_stop=False),
    **{f"ladder_{version}_{norm}": functools.partial(attacks.ladder, eps=eps, norm=norm, version=version, draws=2)
       for version, norm, eps in (("standard", "linf", 0.2), ("standard", "l2", 6.0), ("standard", "l1", 60.0), ("plus", "linf", 0.2))},
    "ladder_rand": functools.partial(attacks.ladder, eps=0.02, version="rand", draws=2,
                                     attacks=[("apgd-ce", {"steps": 4}), ("apgd-dlr", {"steps": 3})]),
    "ladder_list": functools.partial(attacks.ladder, eps=0.01, attacks=[("pgd", {"steps": 3}), ("fab-t", {"steps": 2, "targets": 2}),
                                                                        ("square", {"queries": 9})]),
}
KEPT = ("x_adv", "x_adv_u8", "pred_adv", "success", "success_u8", "queries", "steps_used", "loss")


def network():
    """A small network of random weights, of a width that the fast kernels fuse."""
    return Sequential([InputLayer((8, 8, 3)), Conv2D(16, 3, padding="same", activation="relu"), BatchNormalization(), MaxPooling2D(),
                       Conv2D(16, 3, activation="relu"), Flatten(), Dense(6, activation="softmax")], seed=2, name="small")


def images(n=9):
    x = np.random.default_rng(0).integers(0, 256, (n, 8, 8, 3)).astype(np.float32) / np.float32(255)
    return x, network().labels(x)


def parts(result, rows=slice(None)):
    return {name: getattr(result, name)[rows] for name in KEPT}


def assert_equal(found, expected):
    for name in KEPT:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


def norms_of(name):
    """The norms that an attack does, found out by asking for each."""
    if not takes(attacks.ATTACKS[name], "norm"):
        return {None}
    x, y = images(2)
    found = set()
    for norm in ("linf", "l2", "l1"):
        with contextlib.suppress(OptionError):
            attacks.ATTACKS[name](network(), x[:1], y[:1], norm=norm, **({"eps": 0.0} if takes(attacks.ATTACKS[name], "eps") else {"steps": 1}))
            found.add(norm)
    return found


def test_the_tables_are_whole():
    """Each attack of the package, in each norm, stands in one of them."""
    for name, function in attacks.ATTACKS.items():
        given = [a.keywords.get("norm", own_default(function, "norm")) for a in (ATTACKS | MORE).values() if a.func is function]
        assert set(given) >= norms_of(name), name


@pytest.mark.parametrize("name", [*ATTACKS, *(pytest.param(name, marks=pytest.mark.slow) for name in MORE)])
def test_batches_order_company_and_a_stop_change_nothing(name, tmp_path):
    attack, model, (x, y) = (ATTACKS | MORE)[name], network(), images()
    whole = parts(attack(model, x, y))
    assert whole["queries"].any()
    for size in (1, 3, 7):
        assert_equal(parts(attack(model, x, y, batch_size=size)), whole)
    order = np.random.default_rng(1).permutation(len(x))
    assert_equal(parts(attack(model, x[order], y[order])), {k: v[order] for k, v in whole.items()})
    assert_equal(parts(attack(model, x[4:9], y[4:9])), {k: v[4:9] for k, v in whole.items()})
    if not name.startswith("ladder"):
        with pytest.raises(KeyboardInterrupt):
            attack(model, x, y, batch_size=3, out=tmp_path / "run", callback=stop_after(2))
        assert len(list((tmp_path / "run" / "batches").glob("*.npz"))) == 2
    else:
        asked = attack(model, x, y, batch_size=3).gradients
        with pytest.raises(KeyboardInterrupt):
            attack(Stopping(model, asked // 2), x, y, batch_size=3, out=tmp_path / "run")
        assert list((tmp_path / "run").glob("stage-*/attack.json"))
        model = Stopping(model, np.inf)
    assert_equal(parts(attack(model, x, y, batch_size=3, out=tmp_path / "run")), whole)


class Stopping:
    """A network that stops the process once its gradient was asked for `most` images."""

    def __init__(self, model, most):
        self.model, self.left, self.name = model, most, "stopping"
        self.bounds, self.n_classes, self.dtype = model.bounds, model.n_classes, model.dtype
        self.logits = model.logits

    def vjp(self, x, g):
        if self.left < 0:
            raise KeyboardInterrupt
        self.left -= len(x)
        return self.model.vjp(x, g)


def stop_after(batches):
    seen = []

    def callback(batch):
        seen.append(batch)
        if len(seen) == batches:
            raise KeyboardInterrupt
    return callback


FEW = ("pgd", "apgd", "fab", "cw", "square", "hopskipjump")


@pytest.mark.parametrize("names", [FEW, pytest.param(tuple(ATTACKS | MORE), marks=pytest.mark.slow)], ids=["few", "all"])
def test_threads_change_nothing(names, monkeypatch):
    (x, y), said = images(), []
    for count in (1, 2, 3):
        monkeypatch.setenv("TINYVGG_NUM_THREADS", str(count))
        monkeypatch.setattr(threads, "usable_cores", cores.usable_cores)
        monkeypatch.setattr(threads, "_pool", None)                     # the number is decided at the first use
        said.append({name: sha256_arrays(*parts((ATTACKS | MORE)[name](network(), x, y)).values()) for name in names})
        assert threads.pool().threads == count
    assert said[0] == said[1] == said[2] and "pgd" in said[0]
