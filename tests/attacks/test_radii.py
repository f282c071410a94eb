"""eps as an array: one radius for each image, or in linf one for each value; what knows no such radii says so."""
import json

import numpy as np
import pytest

from tinyvgg import attacks
from tinyvgg.__main__ import main
from tinyvgg.errors import OptionError

WITHIN = {"noise": {}, "fgsm": {}, "pgd": {"steps": 4, "restarts": 2}, "mifgsm": {"steps": 3}, "apgd": {"steps": 6},
          "apgd_t": {"steps": 4, "targets": 2}, "square": {"queries": 10}}
NEAREST = {"fab": {"steps": 3, "targets": 2, "restarts": 2}, "rays": {"queries": 40}}
SIZES = {"linf": 0.06, "l2": 0.5, "l1": 4.0}


def radii(n, norm):
    """(n,) radii, one of them 0."""
    return SIZES[norm] * np.array([0, 0.3, 1, 2])[np.arange(n) % 4]


@pytest.mark.parametrize(("name", "norm"), [(n, m) for n in (*WITHIN, "fab") for m in SIZES] + [("rays", "linf")])
def test_each_image_gets_what_it_gets_with_its_own_eps_alone(toy, name, norm):
    model, x, y = toy
    x, y, eps = x[:8], y[:8], radii(8, norm) * (4 if name == "rays" else 1)
    attack, more = attacks.ATTACKS[name], (WITHIN | NEAREST)[name] | ({"norm": norm} if name != "rays" else {})
    result = attack(model, x, y, eps=eps, batch_size=5, **more)
    assert result.within.all() and (result.norms[norm] <= eps * (1 + 1e-6)).all() and (result.x_adv[eps > 0] != x[eps > 0]).any()
    np.testing.assert_array_equal(result.eps, eps)
    for value in dict.fromkeys(eps):
        rows = eps == value
        alone = attack(model, x[rows], y[rows], eps=value, **more)
        np.testing.assert_array_equal(result.success[rows], alone.success)
        np.testing.assert_allclose(result.x_adv[rows], alone.x_adv, atol=2e-6)
        np.testing.assert_array_equal(result.x_adv_u8[rows], alone.x_adv_u8)


@pytest.mark.parametrize("name", WITHIN)
def test_each_value_stays_within_its_own_eps(toy, name):
    model, x, y = toy
    x, y = x[:6], y[:6]
    eps = np.full(x.shape[1:], 0.2)
    eps[:, :4], eps[:2, :, 1] = 0, 0.05
    result = attacks.ATTACKS[name](model, x, y, eps=eps, **WITHIN[name])
    moved = np.abs(result.x_adv.astype(np.float64) - x)
    assert result.within.all() and (moved <= eps * (1 + 1e-6)).all() and moved[:, :, 5].max() > 0.04
    assert (np.abs(result.x_adv_u8 / 255 - x) <= eps + 1e-7).all() and result.eps.shape == x.shape
    whole = attacks.ATTACKS[name](model, x, y, eps=np.broadcast_to(0.06, x.shape), **WITHIN[name])
    number = attacks.ATTACKS[name](model, x, y, eps=0.06, **WITHIN[name])
    np.testing.assert_allclose(whole.x_adv, number.x_adv, atol=2e-6)
    np.testing.assert_array_equal(whole.success, number.success)


def test_the_ladder_takes_both_and_leaves_out_what_cannot(toy):
    model, x, y = toy
    x, y = x[:8], y[:8]
    few = {"attacks": [("apgd-ce", {"steps": 5}), ("fab-t", {"steps": 3}), ("square", {"queries": 5})]}
    by_image = attacks.ladder(model, x, y, eps=radii(8, "l2"), norm="l2", **few)
    assert by_image.robust_accuracy >= 2 / 8 and by_image.within.all() and by_image.config["eps"]["for"] == "image"
    by_value = attacks.ladder(model, x, y, eps=np.full(x.shape[1:], 0.02), **few)
    assert any("fab-t measures one distance" in flag for flag in by_value.flags) and by_value.within.all()
    assert [row["stage"] for row in by_value.config["stages"]] == ["apgd-ce", "square"]


def test_radii_tell_one_run_from_another_and_are_kept(toy, tmp_path):
    model, x, y = toy
    x, y, eps = x[:8], y[:8], radii(8, "linf")
    result = attacks.pgd(model, x, y, eps=eps, steps=3, out=tmp_path / "run")
    assert result.config["step"].endswith(" eps") and json.loads(result.to_json())["config"]["eps"] == result.config["eps"]
    kept = attacks.load(tmp_path / "run")
    np.testing.assert_array_equal(kept.eps, eps)
    with pytest.raises(OptionError, match="holds another attack"):
        attacks.pgd(model, x, y, eps=eps[::-1], steps=3, out=tmp_path / "run")
    again = attacks.replay(model, kept, n=6)
    np.testing.assert_array_equal(again.success, result.success[:6])
    far = attacks.load(tmp_path / "run")
    far.eps = far.eps / 2
    assert not attacks.replay(model, far).within[far.eps > 0].all(), "a replay looks at each image's own radius"


def test_workers_get_the_radii_of_their_images(toy):
    from concurrent.futures import ThreadPoolExecutor
    model, x, y = toy
    both = {"net": model}
    with ThreadPoolExecutor(2) as executor:
        for eps in (radii(32, "linf"), np.full((8, 8), 0.05), np.tile(radii(32, "linf")[:, None, None, None], (1, 8, 8, 3))):
            rows = [attacks.transfer(both, both, x[:32], y[:32], eps=eps, steps=2, executor=place) for place in (None, executor)]
            assert rows[0] == rows[1]


@pytest.mark.parametrize(("shape", "settings", "words"), [
    ((5,), {}, r"eps has shape \(5,\); expected one number, \(6,\) for each image, or \(8, 8, 3\)"),
    ((8, 8, 3), {"norm": "l2"}, "pgd in l2 measures one distance for an image"), ((6, 8, 3), {}, "eps has shape"),
    ((6,), {"grid": 255, "step": -1.0}, "step is -1.0")])
def test_mistakes(toy, shape, settings, words):
    model, x, y = toy
    with pytest.raises(OptionError, match=words):
        attacks.pgd(model, x[:6], y[:6], eps=np.full(shape, 0.1), **settings)


def test_mistakes_of_others(toy):
    model, x, y = toy
    x, y = x[:6], y[:6]
    for bad, words in ((np.full(6, np.nan), "finite numbers"), (-np.ones(6), "finite numbers"), (np.array(["a"] * 6), "finite numbers"),
                       (np.ones(6, bool), "array of bool"), (np.zeros(0), "finite numbers")):
        with pytest.raises(OptionError, match=words):
            attacks.fgsm(model, x, y, eps=bad)
    with pytest.raises(OptionError, match="fab in linf measures one distance"):
        attacks.fab(model, x, y, eps=np.full(x.shape[1:], 0.1))
    for study in (attacks.step_map, attacks.target_matrix):
        with pytest.raises(OptionError, match=r"eps is an array of shape \(6,\); expected one number"):
            study(model, x, y, eps=np.full(6, 0.1))
    flat = attacks.as_classifier(lambda z: np.c_[z.sum(axis=1), -z.sum(axis=1)].astype(np.float32), bounds=(-1, 1), n_classes=2)
    with pytest.raises(OptionError, match="as many images as values"):
        attacks.noise(flat, np.ones((4, 4), np.float32) / 2, np.zeros(4, int), eps=np.full(4, 0.1))
    assert attacks.noise(flat, np.ones((4, 4), np.float32) / 2, np.zeros(4, int), eps=np.full((4, 1), 0.1)).eps.shape == (4,)


def test_the_command_line_takes_a_file(toy, tmp_path, capsys):
    model, x, y = toy
    model.save(tmp_path / "toy.h5")
    np.save(tmp_path / "x.npy", x[:8]), np.save(tmp_path / "y.npy", y[:8])
    np.save(tmp_path / "eps.npy", radii(4, "linf")[2:])    # a quarter
    common = [str(tmp_path / "toy.h5"), "--data", f"{tmp_path / 'x.npy'},{tmp_path / 'y.npy'}", "--quiet", "--eps", str(tmp_path / "eps.npy")]
    assert main(["attack", "pgd", *common, "-n", "8", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["config"]["eps"]["highest"] == pytest.approx(0.12)
    for more, words in ((["attack", "curve", *common], "one eps for all images"), (["attack", "steps", *common], "one eps for all images"),
                        (["attack", "pgd", *common[:-1], str(tmp_path / "none.npy")], "cannot be read")):
        assert main(more) == 2
        assert words in capsys.readouterr().err
