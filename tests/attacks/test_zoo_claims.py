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


@pytest.mark.parametrize("name, eps, clean, left", [("light_robust_8", "8/255", 0.62, 0.30), ("light_robust_4", "4/255", 0.69, 0.43)])
def test_networks_that_resist_do_so_without_hiding_gradients(light, name, eps, clean, left):
    """On 300 images: PGD leaves what the card says, give or take the interval; a large eps leaves nothing."""
    model, x, y = zoo.load(name), light[1][:300], light[2][:300]
    found = attacks.pgd(model, x, y, eps=eps, steps=40)
    assert found.clean_accuracy > clean and left < found.robust_accuracy < zoo.card(name)["ladders"][0]["robust_accuracy"] + 0.1
    assert attacks.pgd(model, x, y, eps="64/255", steps=60).robust_accuracy == 0
