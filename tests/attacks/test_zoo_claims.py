"""What the documentation says of attacks on the light net of the zoo, on 1,000 test images of CIFAR-10."""
import pytest

from tinyvgg import attacks, data, errors, zoo
from tinyvgg.data import model_input

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def light():
    """(light net, x, y)."""
    try:
        x, y = data.load("cifar10").part("test", 1000)
    except errors.TinyVGGError:
        pytest.skip("CIFAR-10 is not at hand (TINYVGG_DATA)")
    return zoo.load("light_cifar10_plain"), model_input(x, (0, 1)), y


def test_an_undefended_network_has_no_robust_accuracy(light):
    model, x, y = light
    pgd = attacks.pgd(model, x, y, eps="8/255", step="2/255", steps=40)
    assert pgd.clean_accuracy > 0.8 and pgd.robust_accuracy <= 0.005
    assert attacks.ladder(model, x, y, eps="8/255").robust_accuracy <= pgd.robust_accuracy


@pytest.fixture(scope="module")
def loud(light):
    """The same network with its logits times 30: the gradient of the usual cross-entropy vanishes."""
    model = light[0]
    return attacks.as_classifier(lambda z: 30 * model.logits(z), bounds=(0, 1), n_classes=10,
                                 vjp=lambda z, g: model.vjp(z, lambda logits: 30 * g(30 * logits)))


def test_confidence_is_no_robustness(light, loud):
    """Nothing is left by the scaled cross-entropy; the usual one leaves some and says that its gradients vanished."""
    _, x, y = light
    assert attacks.pgd(loud, x, y, eps="8/255", steps=40).robust_accuracy == 0
    usual = attacks.pgd(loud, x, y, eps="8/255", steps=40, loss="ce_plain")
    assert usual.robust_accuracy > 0.005 and any("vanished gradients" in flag for flag in usual.flags)


def test_a_loss_of_ratios_does_not_see_the_scale(light, loud):
    """At a radius where half of the images survive, too."""
    model, x, y = light
    plain, scaled = (attacks.pgd(m, x, y, eps="1/255", steps=40, loss="dlr").robust_accuracy for m in (model, loud))
    assert 0.3 < plain < 0.6 and abs(scaled - plain) <= 0.003
