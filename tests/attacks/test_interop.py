"""Our models in foolbox's and ART's attacks, where these are installed; without them a sentence says what to install."""
import importlib.util

import numpy as np
import pytest

from tinyvgg import attacks
from tinyvgg.attacks.compat.pgd_loop import pgd_loop
from tinyvgg.errors import MissingExtra
from tinyvgg.interop import art, foolbox


def test_loss_and_gradient(toy):
    model, x, y = toy
    value, g = foolbox.loss_and_gradient(model, x[:8], y[:8])
    p = model.predict(x[:8])[np.arange(8), y[:8]]
    np.testing.assert_allclose(value, -np.log(p), rtol=1e-3, atol=1e-5)
    assert g.shape == (8, 8, 8, 3) and g.any()


@pytest.mark.parametrize(("library", "function"), [("foolbox", foolbox.model), ("art", art.estimator)])
def test_what_to_install(toy, library, function):
    if importlib.util.find_spec(library):
        pytest.skip(f"{library} is installed")
    with pytest.raises(MissingExtra, match=f"{library} is not installed"):
        function(toy[0])


def test_foolbox(toy):
    ep = pytest.importorskip("eagerpy")
    pytest.importorskip("foolbox")
    model, x, y = toy
    attack = foolbox.gradient_attack("LinfPGD", model, abs_stepsize=0.01, steps=10, random_start=False)
    theirs = attack.run(foolbox.model(model), ep.astensor(x), ep.astensor(y), epsilon=0.05).numpy()
    ours = pgd_loop(lambda z: foolbox.loss_and_gradient(model, z, y)[1], x, x, eps=0.05, step=0.01, steps=10, norm="linf",
                    bounds=(0, 1), order="foolbox")
    np.testing.assert_array_equal(ours, theirs)
    own = attacks.pgd(model, x, y, eps=0.05, step=0.01, steps=10, loss="ce_plain", keep="last", early_stop=False)
    assert (model.labels(theirs) == own.pred_adv).mean() > 0.97


def test_art(toy):
    pytest.importorskip("art")
    from art.attacks.evasion import DeepFool
    model, x, y = toy
    found = DeepFool(art.estimator(model), max_iter=20, nb_grads=6, verbose=False).generate(x[:8])
    assert (model.labels(found) != y[:8]).mean() > 0.8
