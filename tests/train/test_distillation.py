"""Distillation: its loss and gradient, what a teacher must be, and the verb."""
import json

import numpy as np
import pytest

from tests.train import tiny
from tinyvgg import kernels, models, train
from tinyvgg.cli import main
from tinyvgg.errors import OptionError, ShapeError
from tinyvgg.images import to_floats
from tinyvgg.nn.losses import cross_entropy
from tinyvgg.train.adversarial import AdversarialBatches
from tinyvgg.train.distillation import Distillation
from tinyvgg.train.fit import fit
from tinyvgg.train.run import RunFolder
from tinyvgg.train.views import Views


def test_loss_by_hand():
    """T = 2, a = 0.5: teacher (2 ln 3, 0) -> (3/4, 1/4); network (0, 0) -> (1/2, 1/2), label 0."""
    loss = Distillation(temperature=2, share=0.5).loss
    value, gradient = loss(np.zeros((1, 2)), (np.array([0]), np.array([[2 * np.log(3), 0]])))
    divergence = 0.75 * np.log(1.5) + 0.25 * np.log(0.5)
    assert value == pytest.approx(0.5 * np.log(2) + 0.5 * 4 * divergence)
    np.testing.assert_allclose(gradient, [[0.5 * -0.5 + 0.5 * 2 * -0.25, 0.5 * 0.5 + 0.5 * 2 * 0.25]])


@pytest.mark.parametrize("temperature, share, student", [(1.0, 1.0, None), (4.0, 0.9, None), (0.5, 0.3, None), (4.0, 0.7, 1.0)])
def test_gradient_by_differences(temperature, share, student):
    g = np.random.default_rng(0)
    z, v, y = g.standard_normal((3, 4)), g.standard_normal((3, 4)), g.integers(0, 4, 3)
    loss = Distillation(temperature=temperature, share=share, student_temperature=student).loss
    _, gradient = loss(z, (y, v))
    for at in np.ndindex(z.shape):
        up, down = z.copy(), z.copy()
        up[at], down[at] = up[at] + 1e-6, down[at] - 1e-6
        assert gradient[at] == pytest.approx((loss(up, (y, v))[0] - loss(down, (y, v))[0]) / 2e-6, abs=1e-8)


def test_share_of_nothing_is_the_cross_entropy():
    g = np.random.default_rng(1)
    z, y = g.standard_normal((5, 3)).astype(np.float32), g.integers(0, 3, 5)
    value, gradient = Distillation(share=0).loss(z, (y, g.standard_normal((5, 3))))
    expected, expected_gradient = cross_entropy(z, y)
    assert value == pytest.approx(expected) and gradient.dtype == np.float32
    np.testing.assert_allclose(gradient, expected_gradient, atol=1e-7)


def test_a_student_comes_closer_to_its_teacher():
    x, y = tiny.images(200)
    teacher = tiny.model(seed=1, dropout=0.0)
    train.fit(teacher, x, y, epochs=4, quiet=True)
    before = [w.copy() for w in teacher.get_weights()]
    taught = Distillation(teacher, share=1.0)
    student = tiny.model(seed=2, dropout=0.0)
    images = x.astype(np.float32) / 255

    def divergence():
        return taught.loss(student.logits(images), (y, teacher.logits(images)))[0]
    at_first = divergence()
    train.fit(student, x, y, epochs=60, learning_rate=5e-3, quiet=True, batch_hook=taught, loss=taught.loss)
    assert divergence() < 0.3 * at_first
    assert all((a == b).all() for a, b in zip(before, teacher.get_weights(), strict=True))


@pytest.mark.parametrize("settings, message", [({"temperature": 0}, "temperature is 0"), ({"temperature": np.nan}, "temperature"),
                                               ({"student_temperature": 0}, "student's temperature is 0"),
                                               ({"share": 1.5}, "share of the loss is 1.5")])
def test_numbers_out_of_range(settings, message):
    with pytest.raises(OptionError, match=message):
        Distillation(**settings)


def test_teachers_see_the_clean_images_and_the_network_the_attacked_ones():
    x, y = np.random.default_rng(0).random((3, 8, 8, 3), np.float32), np.arange(3)
    teacher, student = tiny.model(seed=1), tiny.model(seed=2)
    taught = Distillation(teacher, attack=AdversarialBatches("nfgsm", "8/255"))
    taught.rng = np.random.default_rng(5)
    attacked, (labels, answers) = taught(student, x, y)
    alone = AdversarialBatches("nfgsm", "8/255")
    alone.rng = np.random.default_rng(5)
    np.testing.assert_array_equal(attacked, alone(student, x, y)[0])
    np.testing.assert_array_equal(answers, teacher.logits(x))
    assert labels is y and np.abs(attacked - x).max() > 8 / 255


def test_several_teachers_answer_with_the_mean_of_their_logits():
    x, y = np.random.default_rng(0).random((3, 8, 8, 3), np.float32), np.arange(3)
    one, two = tiny.model(seed=1), tiny.model(seed=2)
    _, (labels, taught) = Distillation(one, two)(None, x, y)
    np.testing.assert_allclose(taught, (one.logits(x) + two.logits(x)) / 2, rtol=1e-6)
    assert labels is y


def test_a_teacher_of_other_classes():
    with pytest.raises(ShapeError, match="n classes is 7, the network's 10"):
        Distillation(models.light(classes=7)).check(models.light())


def stopped_after(epoch_done):
    """A user's Ctrl-C when the first epoch is on the disk."""
    def stop(self, row, seconds):
        epoch_done(self, row, seconds)
        raise KeyboardInterrupt
    return stop


def test_the_verb(tmp_path, capsys, monkeypatch):
    """A run with a teacher records it, finds it again when it is resumed, ends in the same bytes, and takes no other one."""
    teacher = models.resnet8(seed=5)
    teacher.save(tmp_path / "teacher.h5")
    x, y = np.random.default_rng(0).integers(0, 255, (20, 32, 32, 3), np.uint8), np.arange(20) % 10
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    command = ["train", "--arch", "resnet8", "--data", f"{tmp_path}/x.npy,{tmp_path}/y.npy", "--validation", "0", "--quiet",
               "--json", "--distill", str(tmp_path / "teacher.h5")]
    assert main([*command, "--epochs", "2", "--out", str(tmp_path / "whole")]) == 0
    whole = json.loads(capsys.readouterr().out)
    teachers = json.loads((tmp_path / "whole" / "config.json").read_text())["teachers"]
    assert [t["name"] for t in teachers] == [str(tmp_path / "teacher.h5")] and len(teachers[0]["weights_sha256"]) == 64
    half = str(tmp_path / "half")
    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "epoch_done", stopped_after(RunFolder.epoch_done))
        assert main([*command, "--epochs", "2", "--out", half]) == 130
    models.resnet8(seed=6).save(tmp_path / "teacher.h5")
    assert main(["train", "--resume", "--quiet", "--json", "--out", half]) == 2
    assert "the teachers are not those that" in capsys.readouterr().err
    teacher.save(tmp_path / "teacher.h5")
    monkeypatch.setenv("TINYVGG_NUM_THREADS", "3" if kernels.threads() != 3 else "2")       # asked only here: the pool runs as before
    assert main(["train", "--resume", "--quiet", "--json", "--out", half]) == 0
    assert json.loads(capsys.readouterr().out)["weights_sha256"] == whole["weights_sha256"]
    config = json.loads((tmp_path / "half" / "config.json").read_text())
    assert config["teachers"] == teachers and [(r["epoch"], r["threads"]) for r in config["resumed"]] == [(1, kernels.threads())]
    assert config["threads"] != kernels.threads()
    assert main([*command, "--epochs", "1", "--label-smoothing", "0.1", "--out", str(tmp_path / "two")]) == 2
    assert "--distill and --label-smoothing were both given" in capsys.readouterr().err
    assert main([*command, "--adversarial", "trades", "--validation", "8", "--out", str(tmp_path / "two")]) == 2
    assert "--distill and --adversarial trades were both given" in capsys.readouterr().err
    assert main([*command, "--adversarial", "nfgsm", "--views", "2", "--validation", "8", "--out", str(tmp_path / "two")]) == 2
    assert "--views and --adversarial were both given" in capsys.readouterr().err
    assert main(["train", "--temperature", "2", "--out", str(tmp_path / "three"), "--data", "shapes"]) == 2
    assert "belong to --distill" in capsys.readouterr().err
    assert main(["train", "--views", "2", "--out", str(tmp_path / "three"), "--data", "shapes"]) == 2
    assert "belong to --distill" in capsys.readouterr().err
    assert main([*command[:-1], "no_such_model", "--out", str(tmp_path / "four")]) == 2
    assert "no_such_model" in capsys.readouterr().err


def test_kept_answers_are_the_teachers_up_to_a_byte(tmp_path):
    (x, y), teacher = tiny.images(40), tiny.model(3)
    views = Views(Distillation(teacher, temperature=2), "flip,shift1", 2, path=tmp_path / "answers.npz")
    views.prepare(tiny.model(1), x, seed=5)
    index = np.array([3, 30, 8])
    a, b = (views.batch(index, epoch, np.random.default_rng(0)) for epoch in (0, 1))
    assert (a != b).any() and np.array_equal(a, views.batch(index, 2, np.random.default_rng(0)))
    still = views.view[1][index]
    assert all(np.array_equal(i, j) or np.array_equal(i, j[:, ::-1]) for i, j in zip(a, still, strict=True))
    logits = teacher.logits(to_floats(still, (0, 1), np.float32))
    low, high, _ = views.answers[0]
    assert np.abs(views(teacher, a, y[index])[1][1] - logits).max() <= (high - low) / 509


def test_a_file_of_answers_serves_the_same_question_only(tmp_path, monkeypatch):
    x, teacher = tiny.images(40)[0], tiny.model(3)
    asked = []
    monkeypatch.setattr(Distillation, "answers", lambda self, v: asked.append(len(v)) or np.arange(len(v) * 4.0).reshape(-1, 4))
    def ask(count=2, seed=5, teacher=teacher, path=tmp_path / "answers.npz"):
        asked.clear()
        Views(Distillation(teacher), "shift1", count, path=path).prepare(tiny.model(1), x, seed=seed)
        return len(asked)
    assert [ask(), ask(), ask(seed=6), ask(seed=6), ask(teacher=tiny.model(4)), ask(3), ask(path=None)] == [2, 0, 2, 0, 2, 3, 2]
    (tmp_path / "answers.npz").write_bytes((tmp_path / "answers.npz").read_bytes()[:300])
    assert ask(3) == 3


def test_a_run_with_views_goes_on_to_the_same_bytes(tmp_path, monkeypatch):
    (x, y), teacher = tiny.images(60), tiny.model(3)
    def train(out, epochs, **options):
        views = Views(Distillation(teacher), "flip,shift1,jpeg60", 2, path=out / "answers.npz")
        model = tiny.model(1)
        fit(model, x, y, epochs=epochs, augment=views, batch_hook=views, loss=views.loss, out=out, quiet=True, **options)
        return model.get_weights()
    whole = train(tmp_path / "whole", 3)
    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "epoch_done", stopped_after(RunFolder.epoch_done))
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "half", 3)
    assert all(np.array_equal(a, b) for a, b in zip(whole, train(tmp_path / "half", 3, resume=True), strict=True))
    with pytest.raises(OptionError, match="and is to go on with flip, 1 views"):
        views = Views(Distillation(teacher), "flip", 1)
        fit(tiny.model(1), x, y, epochs=3, augment=views, batch_hook=views, out=tmp_path / "half", resume=True, quiet=True)
    with pytest.raises(OptionError, match="a whole number from 1"):
        Views(Distillation(teacher), "flip", 0)
    with pytest.raises(OptionError, match="images as bytes"):
        Views(Distillation(teacher), "flip", 1).prepare(teacher, x / np.float32(255), 0)
