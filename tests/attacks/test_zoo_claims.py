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
    return zoo.load("light_cifar10"), model_input(x, (0, 1)), y


def test_an_undefended_network_has_no_robust_accuracy(light):
    model, x, y = light
    pgd = attacks.pgd(model, x, y, eps="8/255", step="2/255", steps=40)
    assert pgd.clean_accuracy > 0.8 and pgd.robust_accuracy <= 0.005
    assert attacks.ladder(model, x, y, eps="8/255").robust_accuracy <= pgd.robust_accuracy


@pytest.mark.parametrize("eps", ["1/255", "8/255"])
def test_confidence_is_no_robustness(light, eps):
    """Logits times 30 make the plain cross-entropy's gradient vanish; the scaled one sees the same network."""
    model, x, y = light
    loud = attacks.as_classifier(lambda z: 30 * model.logits(z), bounds=(0, 1), n_classes=10,
                                 vjp=lambda z, g: model.vjp(z, lambda logits: 30 * g(30 * logits)))
    quiet_result, loud_result = (attacks.pgd(m, x, y, eps=eps, steps=40) for m in (model, loud))
    assert loud_result.clean_accuracy == quiet_result.clean_accuracy
    assert loud_result.robust_accuracy <= quiet_result.robust_accuracy + 0.01
    print(f"eps {eps}: plain {quiet_result.robust_accuracy:.1%}, times 30 {loud_result.robust_accuracy:.1%}, "
          f"times 30 by ce_plain {attacks.pgd(loud, x, y, eps=eps, steps=40, loss='ce_plain')}")
