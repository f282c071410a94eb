"""Adversarial training: what each recipe makes of a batch, its losses' gradients, the guard, and that it helps."""
from types import SimpleNamespace

import numpy as np
import pytest

from tinyvgg import attacks, rng, train
from tinyvgg.cli import main
from tinyvgg.errors import OptionError
from tinyvgg.io import load_model
from tinyvgg.nn import Sequential
from tinyvgg.nn.layers import Dense, Flatten, InputLayer
from tinyvgg.train import adversarial
from tinyvgg.train.adversarial import AdversarialBatches, CollapseGuard, TradesLoss

EPS = 0.1


def two_features(n, seed=0):
    """Images whose class shows in one strong value (robust) and faintly in sixty weak ones (good to learn, easy to attack)."""
    g = rng.generator(seed, "features")
    y = np.arange(n) % 2
    sign = np.where(y == 1, 1.0, -1.0)[:, None]
    strong = 0.5 + 0.25 * sign * np.where(g.random((n, 1)) < 0.9, 1, -1)
    weak = 0.5 + 0.04 * sign + 0.1 * g.standard_normal((n, 63))
    return np.clip(np.concatenate([strong, weak], axis=1), 0, 1).reshape(n, 8, 8, 1).astype(np.float32), y


def network(seed=0):
    return Sequential([InputLayer((8, 8, 1)), Flatten(), Dense(16, activation="relu"), Dense(2)], seed=seed)


@pytest.mark.parametrize("recipe", ["nfgsm", "fgsm_rs", "pgd", "trades"])
def test_what_a_batch_becomes(recipe):
    model, (x, y) = network(), two_features(40)
    hook = AdversarialBatches(recipe, EPS)
    z, labels = hook(model, x, y)
    clean, adv = (z[:40], z[40:]) if recipe == "trades" else (None, z)
    assert adv.dtype == np.float32 and adv.min() >= 0 and adv.max() <= 1 and (labels == y).all()
    reach = np.abs(adv - x).max()
    assert (EPS < reach <= 3 * EPS + 1e-6) if recipe == "nfgsm" else reach <= EPS + 1e-6
    if recipe == "trades":
        np.testing.assert_array_equal(clean, x)

    def loss(images):
        logits = model.logits(images)
        return (np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(40), y]).mean()
    assert loss(adv) > loss(x)
    hook.rng = np.random.default_rng(3)
    first = hook(model, x, y)[0]
    hook.rng = np.random.default_rng(3)
    np.testing.assert_array_equal(hook(model, x, y)[0], first)


def test_trades_gradient():
    g = np.random.default_rng(0)
    z, y, loss = g.standard_normal((10, 4)), g.integers(0, 4, 5), TradesLoss(beta=3.0)
    _, gradient = loss(z, y)
    for i in range(10):
        for k in range(4):
            up, down = z.copy(), z.copy()
            up[i, k] += 1e-6
            down[i, k] -= 1e-6
            assert gradient[i, k] == pytest.approx((loss(up, y)[0] - loss(down, y)[0]) / 2e-6, abs=1e-7)


SETTINGS = dict(epochs=12, batch_size=40, learning_rate=3e-3, quiet=True)


@pytest.fixture(scope="module")
def plain_left():
    """What PGD leaves of a network that was trained as usual."""
    plain = network()
    train.fit(plain, *two_features(800), **SETTINGS)
    return attacks.pgd(plain, *two_features(400, seed=1), eps=EPS).robust_accuracy


@pytest.mark.parametrize("recipe", ["nfgsm", "fgsm_rs", "pgd", "trades"])
def test_it_makes_robust(recipe, plain_left):
    robust, loss = network(), {"loss": TradesLoss()} if recipe == "trades" else {}
    train.fit(robust, *two_features(800), batch_hook=AdversarialBatches(recipe, EPS), **loss, **SETTINGS)
    robust_left = attacks.pgd(robust, *two_features(400, seed=1), eps=EPS).robust_accuracy
    assert robust_left > 0.6 > plain_left + 0.2, (plain_left, robust_left)


def test_the_guard_sees_a_collapse(tmp_path):
    """Weights of the last layer turned round: robust accuracy falls, the training is to end, the good weights are in the file."""
    model, trainer = network(), SimpleNamespace(validation=two_features(200, seed=1), stop=None)
    train.fit(model, *two_features(800), batch_hook=AdversarialBatches("nfgsm", EPS), **SETTINGS)
    trainer.model, row = model, {}
    guard = CollapseGuard(EPS, tmp_path / "robust.h5", images=100)
    guard.on_epoch_end(trainer, row)
    assert row["robust_accuracy"] == guard.best > 0.6 and trainer.stop is None
    for name, value in model.layers[-1].parameters.items():
        model.layers[-1].set_weight(name, -value)
    guard.on_epoch_end(trainer, row)
    assert "collapsed" in trainer.stop and guard.collapsed and row["robust_accuracy"] < 0.3
    best = network()
    best.load_weights(tmp_path / "robust.h5")
    x, y = (part[:100] for part in trainer.validation)
    assert attacks.pgd(best, x, y, eps=EPS, steps=10).robust_accuracy == guard.best
    again = CollapseGuard(EPS)
    again.load_state(guard.state())
    assert (again.best, again.collapsed) == (guard.best, True)


def test_mistakes():
    with pytest.raises(OptionError, match="no adversarial training 'fast'"):
        AdversarialBatches("fast")
    with pytest.raises(OptionError, match="eps is"):
        AdversarialBatches("nfgsm", "-1")
    x, y = two_features(40)
    with pytest.raises(OptionError, match="needs validation images"):
        train.fit(network(), x, y, callbacks=[CollapseGuard(EPS)], quiet=True)


@pytest.mark.slow
def test_the_verb(tmp_path, capsys):
    """The guard's column is in the history, and an eps without a recipe is refused."""
    common = ["train", "--arch", "resnet8", "--data", "shapes", "--limit", "80", "--epochs", "1", "--validation", "20", "--quiet",
              "--adversarial", "nfgsm", "--eps", "4/255"]
    assert main([*common, "--out", str(tmp_path / "a")]) == 0
    assert "robust_accuracy" in (tmp_path / "a" / "history.csv").read_text()
    assert main([*common[:-4], "--eps", "4/255", "--out", str(tmp_path / "b")]) == 2
    assert "--eps was given without --adversarial" in capsys.readouterr().err


@pytest.mark.parametrize("words, told", [
    ("--trades-beta 3", "--trades-beta was given without --adversarial"), ("--keep robust", "--keep robust belongs to --adversarial"),
    ("--adversarial nfgsm --adversarial-steps 3", "with nfgsm, which takes one step"), ("--adversarial pgd --trades-beta 3", "it is of trades"),
    ("--adversarial pgd --adversarial-steps 0", "steps is 0"), ("--adversarial trades --trades-beta -1", "weight of TRADES is -1")])
def test_options_that_do_not_belong(words, told, tmp_path, capsys):
    np.save(tmp_path / "x.npy", np.zeros((20, 8, 8, 3), np.uint8))
    np.save(tmp_path / "y.npy", np.arange(20) % 10)
    assert main(["train", "--arch", "resnet8", "--data", f"{tmp_path}/x.npy,{tmp_path}/y.npy", "--out", str(tmp_path / "a"), *words.split()]) == 2
    assert told in capsys.readouterr().err


def test_keep_robust_takes_the_most_robust_epoch(tmp_path, monkeypatch):
    """Not the last: PGD is told to find less and less left."""
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 256, (24, 8, 8, 3), np.uint8))
    np.save(tmp_path / "y.npy", np.arange(24) % 2)
    left = iter((0.5, 0.9, 0.8))
    monkeypatch.setattr(adversarial, "pgd", lambda *_, **__: SimpleNamespace(robust_accuracy=next(left)))
    kept = []
    told = CollapseGuard.on_epoch_end
    def watch(self, trainer, row):
        told(self, trainer, row)
        kept.append([w.copy() for w in trainer.model.get_weights()])
    monkeypatch.setattr(CollapseGuard, "on_epoch_end", watch)
    words = "train --arch resnet8 --epochs 3 --validation 4 --batch-size 8 --adversarial pgd --adversarial-steps 1 --keep robust --quiet"
    assert main([*words.split(), "--data", f"{tmp_path}/x.npy,{tmp_path}/y.npy", "--out", str(tmp_path / "a")]) == 0
    found = load_model(tmp_path / "a" / "model.h5").get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(found, kept[1], strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(found, kept[2], strict=True))
