"""Adversarial training: batches are attacked before each step; a guard stops its typical collapse.

N-FGSM: de Jorge et al. (NeurIPS 2022): noise of up to twice eps, then one step of eps that is not clipped to the ball. It costs
five thirds of clean training and rarely collapses. FGSM-RS: Wong, Rice, Kolter (ICLR 2020). PGD: Madry et al. (ICLR 2018).
TRADES: Zhang et al. (ICML 2019). The attacks' gradients use moving statistics and no dropout.
"""
import numpy as np

from tinyvgg.attacks import losses
from tinyvgg.attacks.norms import default_eps, parse_eps
from tinyvgg.attacks.pgd import pgd
from tinyvgg.errors import OptionError
from tinyvgg.nn.losses import cross_entropy, log_softmax
from tinyvgg.train.callbacks import Callback
from tinyvgg.types import Eps, Images, Labels, PathLike

RECIPES = ("nfgsm", "fgsm_rs", "pgd", "trades")


class AdversarialBatches:
    """A batch_hook for fit: takes float images x and labels y, returns attacked images and labels (TRADES: clean images, then
    attacked ones).

    recipe: nfgsm, fgsm_rs, pgd (`steps` of 2.5 eps / steps) or trades. eps: L-inf radius in the unit of the model's images, by
    default 8/255 of their range. fit sets `rng` in each epoch, so that a resumed run draws the same numbers as an uninterrupted
    one.
    """

    def __init__(self, recipe: str = "nfgsm", eps: Eps | None = None, *, steps: int | None = None) -> None:
        if recipe not in RECIPES:
            raise OptionError(f"there is no adversarial training {recipe!r}; expected one of {', '.join(RECIPES)}")
        self.recipe, self.eps = recipe, None if eps is None else parse_eps(eps)
        self.steps = {"pgd": 7, "trades": 10}.get(recipe, 1) if steps is None else steps
        if self.steps < 1:
            raise OptionError(f"steps is {steps}; expected at least 1")
        self.rng = np.random.default_rng(0)

    def __call__(self, model, x: Images, y: Labels):
        self.eps = default_eps(model.bounds) if self.eps is None else self.eps
        adv = getattr(self, f"_{self.recipe}")(model, x, y)
        return (np.concatenate([x, adv]), y) if self.recipe == "trades" else (adv, y)

    def _nfgsm(self, model, x, y):
        start = self._noise(model, x, 2 * self.eps)
        return self._box(model, start + self.eps * np.sign(_gradient(model, start, y)))

    def _fgsm_rs(self, model, x, y):
        start = self._noise(model, x, self.eps)
        return self._ball(model, x, start + 1.25 * self.eps * np.sign(_gradient(model, start, y)))

    def _pgd(self, model, x, y):
        z, step = self._noise(model, x, self.eps), min(2.5 / self.steps, 1) * self.eps
        for _ in range(self.steps):
            z = self._ball(model, x, z + step * np.sign(_gradient(model, z, y)))
        return z

    def _trades(self, model, x, y):
        """Climb the divergence between the answers to x and to z, from a point very near x, where it is 0."""
        p = np.exp(log_softmax(model.logits(x)))
        z, step = x + np.float32(1e-3) * self.rng.standard_normal(x.shape, dtype=np.float32), min(2.5 / self.steps, 1) * self.eps
        z = self._box(model, z)
        for _ in range(self.steps):
            g = model.vjp(z, lambda logits: np.exp(log_softmax(logits)) - p)
            z = self._ball(model, x, z + step * np.sign(g))
        return z

    def _noise(self, model, x, width):
        return self._box(model, x + self.rng.uniform(-width, width, x.shape))

    def _ball(self, model, x, z):
        return self._box(model, np.clip(z, x - self.eps, x + self.eps))

    def _box(self, model, z):
        return np.clip(z, *model.bounds).astype(model.dtype)


def _gradient(model, x, y):
    """The gradient of each image's cross-entropy, up to its length."""
    return model.vjp(x, lambda logits: losses.cross_entropy(logits, y)[1])


class TradesLoss:
    """CE(z, y) + beta * mean KL(softmax(z) || softmax(z')), for logits of N clean images followed by N attacked ones.

    Returns (value, gradient (2N, K)). For N logits and N labels, as in an evaluation, it is the cross-entropy.
    """

    def __init__(self, beta: float = 6.0) -> None:
        if not 0 <= beta <= 1000:
            raise OptionError(f"the weight of TRADES is {beta}; expected 0 to 1000", "6")
        self.beta = beta

    def __call__(self, logits, y: Labels):
        n = len(y)
        if len(logits) == n:
            return cross_entropy(logits, y)
        value, g_clean = cross_entropy(logits[:n], y)
        log_p, log_q = log_softmax(logits[:n]), log_softmax(logits[n:])
        p = np.exp(log_p)
        divergence = (p * (log_p - log_q)).sum(axis=1, keepdims=True)
        weight = logits.dtype.type(self.beta / n)
        g_clean = g_clean + weight * p * (log_p - log_q - divergence)
        return float(value + self.beta * divergence.mean()), np.concatenate([g_clean, weight * (np.exp(log_q) - p)])


class CollapseGuard(Callback):
    """Stops a training whose robustness has collapsed; with `path`, saves the most robust epoch there. Catastrophic overfitting
    (Wong et al. 2020): within one epoch, accuracy under PGD falls to 0, while accuracy under the training's own one-step attack
    rises. After each epoch, PGD attacks `images` validation images. Once the best robust accuracy was above 10 %, a value below
    `share` of the best ends the training (`collapsed`). The history gets a column robust_accuracy.
    """

    def __init__(self, eps: Eps, path: PathLike | None = None, *, images: int = 256, steps: int = 10, share: float = 0.5) -> None:
        self.eps, self.path, self.images, self.steps, self.share = parse_eps(eps), path, images, steps, share
        self.best, self.collapsed = 0.0, False

    def on_epoch_end(self, trainer, row):
        if trainer.validation is None:
            raise OptionError("the guard against collapse needs validation images", "--validation 0.1")
        x, y = (part[:self.images] for part in trainer.validation)
        y = y if np.ndim(y) == 1 else np.argmax(y, axis=1)
        result = pgd(trainer.model, x, y, eps=self.eps, steps=self.steps)
        row["robust_accuracy"] = robust = result.robust_accuracy
        if self.best > 0.1 and robust < self.share * self.best:
            trainer.stop = f"robust accuracy fell from {self.best:.1%} to {robust:.1%}: the training has collapsed"
            self.collapsed = True
        elif robust >= self.best:
            self.best = robust
            if self.path is not None:
                trainer.model.save(self.path)

    def state(self):
        return {"best": self.best, "collapsed": self.collapsed}

    def load_state(self, state):
        self.best, self.collapsed = float(state["best"]), bool(state["collapsed"])
