"""Steps between pixels and a model: their values, their derivatives, what they refuse; live models of other frameworks."""
import numpy as np
import pytest

from tinyvgg import attacks
from tinyvgg.errors import GradientError, OptionError, ShapeError, TinyVGGError


def test_normalised_pixels_are_attacked_in_pixels(toy):
    """A twin of the network that takes (x - mean) / deviation, behind that step, is the network."""
    model, x, y = toy
    mean, deviation = np.float32([0.4, 0.5, 0.6]), np.float32([0.2, 0.25, 0.3])
    twin = attacks.as_classifier(lambda z: model.logits(z * deviation + mean), bounds=(-9, 9), n_classes=6,
                                 vjp=lambda z, g: model.vjp(z * deviation + mean, g) * deviation, name="twin")
    victim = attacks.preprocessed(twin, attacks.normalise(mean, deviation))
    found, expected = (attacks.pgd(m, x[:12], y[:12], eps="12/255", steps=5) for m in (victim, model))
    np.testing.assert_allclose(found.x_adv, expected.x_adv, atol=1e-5)
    assert found.norms["linf"].max() <= 12 / 255 and found.model_identity["preprocessed"][0]["step"] == "_normalised"


@pytest.mark.parametrize("shape", [(4, 4), (9, 5), (5, 13), (1, 1)])
def test_resizing_is_linear_and_back_is_its_transpose(shape):
    g = np.random.default_rng(0)
    x, dy = g.random((2, 5, 7, 3)), g.random((2, *shape, 3))
    z, back = attacks.resize(*shape)(x)
    assert z.shape == dy.shape and np.vdot(dy, z) == pytest.approx(np.vdot(back(dy), x))
    np.testing.assert_allclose(attacks.resize(*shape)(np.full((1, 5, 7, 1), 0.3))[0], 0.3)
    np.testing.assert_allclose(attacks.resize(5, 7)(x)[0], x)


def test_resizing_is_that_of_pytorch():
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).random((2, 5, 7, 3))
    for shape in ((10, 14), (3, 4)):
        peer = torch.nn.functional.interpolate(torch.tensor(x.transpose(0, 3, 1, 2)), shape, mode="bilinear", align_corners=False)
        np.testing.assert_allclose(attacks.resize(*shape)(x)[0], peer.numpy().transpose(0, 2, 3, 1), atol=1e-12)


def test_jpeg_goes_straight_through(toy):
    pytest.importorskip("PIL")
    model, x, y = toy
    z, back = attacks.jpeg(50)(x[:4])
    assert 0 < np.abs(z - x[:4]).mean() < 0.2 and back(z) is z
    victim = attacks.preprocessed(model, attacks.jpeg(90))
    found = attacks.pgd(victim, x[:8], y[:8], eps=0.25, steps=8)
    assert found.robust_accuracy < found.clean_accuracy and found.within.all()


def test_steps_one_after_another_are_the_chain(make_linear):
    """Of a linear model the gradient tells the change exactly."""
    model, draws = make_linear(192, 6), np.random.default_rng(1)
    victim = attacks.preprocessed(model, attacks.resize(16, 16), attacks.normalise(0.1, 3), attacks.resize(8, 8))
    x, d = draws.uniform(0.3, 0.7, (2, 3, 8, 8, 3)).astype(np.float32)
    g = draws.standard_normal((3, 6)).astype(np.float32)
    change = (g * (victim.logits(d) - victim.logits(x))).sum()
    assert change == pytest.approx((victim.vjp(x, g) * (d - x)).sum(), rel=1e-3)


@pytest.mark.parametrize(("make", "error", "words"), [
    (lambda: attacks.normalise(0.5, 0), OptionError, "a deviation is not above 0"),
    (lambda: attacks.normalise([[1]], 1), ShapeError, "mean or deviation has shape"),
    (lambda: attacks.resize(0, 8), ShapeError, "to 0 x 8"),
    (lambda: attacks.jpeg(0), OptionError, "quality is 0"),
])
def test_mistakes(make, error, words):
    if "quality" in words:
        pytest.importorskip("PIL")
    with pytest.raises(error, match=words):
        make()


def test_a_step_without_back_is_refused(toy):
    model, x, y = toy
    with pytest.raises(GradientError, match="returns only images"):
        attacks.pgd(attacks.preprocessed(model, lambda z: z), x[:2], y[:2], eps=0.1)
    with pytest.raises(OptionError, match="no step was given"):
        attacks.preprocessed(model)


def test_a_network_of_pytorch(toy):
    """Ours and its copy there: the same logits and gradients, the same attack."""
    torch = pytest.importorskip("torch")
    model, x, y = toy
    conv, _, _, dense, last = model.layers[1:]
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2), torch.nn.Flatten(),
                              torch.nn.Linear(128, 24), torch.nn.ReLU(), torch.nn.Linear(24, 6))
    kernel = dense.parameters["kernel"].reshape(4, 4, 8, 24).transpose(2, 0, 1, 3).reshape(128, 24)
    with torch.no_grad():
        for part, weight, bias in ((net[0], conv.parameters["kernel"].transpose(3, 2, 0, 1), conv.parameters["bias"]),
                                   (net[4], kernel.T, dense.parameters["bias"]), (net[6], last.parameters["kernel"].T, last.parameters["bias"])):
            part.weight.copy_(torch.tensor(weight.copy()))
            part.bias.copy_(torch.tensor(bias.copy()))
    with pytest.raises(OptionError, match="training mode"):
        attacks.from_torch(net)
    victim = attacks.from_torch(net.eval())
    assert victim.n_classes == 6
    np.testing.assert_allclose(victim.logits(x[:9]), model.logits(x[:9]), atol=1e-4)
    found, expected = (attacks.pgd(m, x[:12], y[:12], eps="12/255", steps=5) for m in (victim, model))
    np.testing.assert_allclose(found.x_adv, expected.x_adv, atol=1e-4)
    assert found.model_identity["sha256"] and net[0].weight.grad is None


def test_what_is_no_network_of_pytorch():
    torch = pytest.importorskip("torch")
    net, x, y = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.Flatten(), torch.nn.Linear(72, 6)).eval(), np.zeros((2, 8, 8, 3)), [0, 1]
    for given, settings, words in ((3, {}, "from_torch was given a int"), (net, {"n_classes": 1}, "n_classes is 1"),
                                   (net, {"n_classes": True}, "n_classes is True"), (net, {"channels_last": "no"}, "channels_last is 'no'"),
                                   (net, {"bounds": (1, 0)}, "bounds"), (torch.nn.ReLU().eval(), {}, "does not tell its number of classes")):
        with pytest.raises(TinyVGGError, match=words):
            attacks.from_torch(given, **settings)

    class Wrapped(torch.nn.Module):
        def __init__(self, answer):
            super().__init__()
            self.net, self.answer = net, answer

        def forward(self, z):
            return self.answer(self.net(z))

    for answer, words in ((lambda z: (z, z), "answers with a tuple"), (lambda z: z.detach(), "gives no gradients")):
        with pytest.raises(TinyVGGError, match=words):
            attacks.fgsm(attacks.from_torch(Wrapped(answer).eval(), n_classes=6), x, y, eps=0.1)
    for shape, words in (((2, 9, 9, 3), "the net does not take images of shape .2, 3, 9, 9."), ((2, 8, 8, 4), "the net does not take images")):
        with pytest.raises(ShapeError, match=words):
            attacks.fgsm(attacks.from_torch(net), np.zeros(shape), y, eps=0.1)


def test_marks_tell_networks_of_pytorch_apart(tmp_path):
    """By what their printed form leaves out: attributes, code, hooks. A lambda within tells nothing, so nothing is kept for it."""
    torch = pytest.importorskip("torch")

    class Scaled(torch.nn.Module):
        def __init__(self, times, act=torch.relu):
            super().__init__()
            torch.manual_seed(0)
            self.last, self.times, self.act = torch.nn.Linear(12, 3), times, act

        def forward(self, z):
            return self.times * self.act(self.last(z.flatten(1)))

    class Halved(Scaled):
        def forward(self, z):
            return self.times * self.act(self.last(z.flatten(1) / 2))

    def told(net):
        return attacks.from_torch(net.eval()).identity()

    nets = [Scaled(1), Scaled(30), Scaled(torch.tensor(3.0)), Scaled(1, torch.tanh), Scaled(1, torch.nn.functional.elu), Halved(1)]
    assert len({str(told(net)) for net in nets}) == len(nets) and None not in map(told, nets) and told(Scaled(30)) == told(nets[1])
    assert told(Scaled(1, lambda z: z)) is None
    hooked = Scaled(1)
    hooked.register_forward_hook(lambda module, given, answer: -answer)
    assert told(hooked) is None
    layer = torch.nn.TransformerEncoderLayer
    kinds = [torch.nn.Sequential(torch.nn.Flatten(), layer(12, 2, activation=act), torch.nn.Linear(12, 3)) for act in ("relu", "gelu")]
    for net in kinds:
        net.load_state_dict(kinds[0].state_dict())
    assert told(kinds[0]) != told(kinds[1])
    x, y = np.random.default_rng(0).random((4, 2, 2, 3)).astype(np.float32), [0, 1, 2, 0]
    rows = [attacks.eps_curve(attacks.from_torch(Scaled(t).eval()), x, y, eps=[0.1], steps=2, out=out)[0]["clean_accuracy"]
            for t, out in ((1, tmp_path / "c"), (-1, tmp_path / "c"), (-1, None))]
    assert rows[0] != rows[1] == rows[2]


def test_a_model_of_keras(toy):
    keras = pytest.importorskip("keras")
    model, x, y = toy
    layers = keras.layers
    peer = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(8, 3, activation="relu", padding="same"), layers.MaxPooling2D(),
                             layers.Flatten(), layers.Dense(24, activation="relu"), layers.Dense(6, activation="softmax")])
    peer.set_weights(model.get_weights())
    victim = attacks.from_keras(peer)
    np.testing.assert_allclose(victim.logits(x[:9]), model.logits(x[:9]), atol=1e-4)
    np.testing.assert_allclose(np.asarray(peer(x[:9])).sum(axis=1), 1, atol=1e-5)
    found, expected = (attacks.pgd(m, x[:12], y[:12], eps="12/255", steps=5) for m in (victim, model))
    np.testing.assert_allclose(found.x_adv, expected.x_adv, atol=1e-4)


def test_what_is_no_model_of_keras():
    with pytest.raises(TinyVGGError, match="from_keras was given a int"):
        attacks.from_keras(3)


def test_random_resizing_is_linear_in_each_draw_and_back_is_its_transpose(toy):
    draws, step = np.random.default_rng(0), attacks.random_resize(5)
    x, dy = draws.random((20, 8, 10, 3)), draws.random((20, 8, 10, 3))
    z, back = step(x, np.random.default_rng(1))
    again, _ = step(2 * x, np.random.default_rng(1))
    assert z.shape == x.shape and np.vdot(dy, z) == pytest.approx(np.vdot(back(dy), x))
    np.testing.assert_allclose(again, 2 * z)
    heights = {int(image.any(axis=(1, 2)).sum()) for image in z}
    assert heights == {5, 6, 7, 8} and {int(image.any(axis=(0, 2)).sum()) for image in z} <= {6, 8, 9, 10}
    model = toy[0]
    assert attacks.pgd(attacks.defended(model, step), toy[1][:2], toy[2][:2], eps=0.01, steps=1).model_identity is not None
    with pytest.raises(ShapeError, match="expected .N, H, W, C., 9 or more high"):
        attacks.random_resize(9)(x, draws)
    with pytest.raises(OptionError, match="smallest is 0"):
        attacks.random_resize(0)
