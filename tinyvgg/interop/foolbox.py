"""foolbox's attacks on our models (optional: pip install foolbox; no PyTorch needed).

    fmodel = interop.foolbox.model(net)                             # every decision-based attack runs on it
    attack = interop.foolbox.gradient_attack("LinfPGD", net)        # FGSM, PGD, BasicIterative, MI-FGSM, AdamPGD families
    raw, clipped, success = attack(fmodel, ep.astensor(x), ep.astensor(y), epsilons=8 / 255)

foolbox has no gradients of NumPy models; its gradient-descent family has two documented hooks, which are filled here. C&W, DDN,
FMN and DeepFool ask for gradients in another way and cannot be reached.
"""

from tinyvgg.attacks.losses import plain_cross_entropy
from tinyvgg.errors import OptionError, require


def model(net):
    """Return foolbox's NumPyModel of a classifier with logits, images channels last."""
    fb = require("foolbox", "interop")
    return fb.models.NumPyModel(net.logits, bounds=net.bounds, data_format="channels_last")


def gradient_attack(name, net, **settings):
    """Return foolbox's attack class `name` (LinfPGD, L2PGD, LinfFastGradientAttack, ...) made for `net`, with its settings."""
    fb, ep = require("foolbox", "interop"), require("eagerpy", "interop")
    base = getattr(fb.attacks, name, None)
    if base is None or not hasattr(base, "value_and_grad"):
        raise OptionError(f"{name!r} is not a gradient-descent attack of foolbox", "LinfPGD, L2PGD, L1PGD")

    class Attack(base):
        """The attack with the cross-entropy and gradients of our model."""

        def get_loss_fn(self, model, labels):
            self.labels = labels.numpy()

        def value_and_grad(self, loss_fn, x):
            value, g = loss_and_gradient(net, x.numpy(), self.labels)
            return ep.astensor(value).sum(), ep.astensor(g)

    Attack.__name__ = name
    return Attack(**settings)


def loss_and_gradient(net, x, y):
    """Return each image's cross-entropy (N,) and its gradient with respect to x."""
    seen = {}

    def direction(logits):
        seen["value"], g = plain_cross_entropy(logits, y)
        return g

    g = net.vjp(x, direction)
    return seen["value"], g
