"""The Adversarial Robustness Toolbox's attacks on our models (optional: pip install adversarial-robustness-toolbox).

    from art.attacks.evasion import ProjectedGradientDescentNumpy
    adv = ProjectedGradientDescentNumpy(interop.art.estimator(net), eps=8 / 255, eps_step=2 / 255, max_iter=40).generate(x, y)

Known to run: FGM, PGD, MIM, DeepFool, C&W, universal perturbation, Square, HopSkipJump, Boundary, ZOO. AutoPGD only with
loss_type=None. SimBA wants probabilities and one-hot labels.
"""
import numpy as np

from tinyvgg.attacks.losses import plain_cross_entropy
from tinyvgg.errors import NotYet, require
from tinyvgg.images import float_images
from tinyvgg.interop.foolbox import loss_and_gradient


def estimator(net, *, batch_size=128):
    """Return an ART classifier of a classifier with logits and vjp: images channels last, clip values its bounds."""
    require("art", "interop")
    return _estimator_class()(net, batch_size)


def _estimator_class():
    """Define the class when it is first asked for: its bases are ART's."""
    from art.estimators.classification.classifier import ClassGradientsMixin, ClassifierMixin
    from art.estimators.estimator import BaseEstimator, LossGradientsMixin, NeuralNetworkMixin

    class Estimator(ClassGradientsMixin, ClassifierMixin, LossGradientsMixin, NeuralNetworkMixin, BaseEstimator):
        """Answers ART's questions by our logits and vjp. Labels come as numbers or one-hot."""

        estimator_params = BaseEstimator.estimator_params + NeuralNetworkMixin.estimator_params

        def __init__(self, net, batch_size):
            super().__init__(model=net, clip_values=net.bounds, channels_first=False, preprocessing=None)
            self.nb_classes, self.batch_size = net.n_classes, batch_size
            self._input_shape = tuple(getattr(net, "input_shape", ()))

        @property
        def input_shape(self):
            return self._input_shape

        def _images(self, x):
            return float_images(x, self._model.bounds)

        def predict(self, x, batch_size=128, training_mode=False, **kwargs):
            return self._model.logits(self._images(x))

        def fit(self, x, y, batch_size=128, nb_epochs=1, **kwargs):
            raise NotYet("ART cannot train models of tinyvgg here", "model.fit(x, y), or train.fit with a batch_hook")

        def loss_gradient(self, x, y, training_mode=False, **kwargs):
            return loss_and_gradient(self._model, self._images(x), _numbers(y))[1]

        def compute_loss(self, x, y, reduction="none", **kwargs):
            values = plain_cross_entropy(self.predict(x), _numbers(y))[0]
            return {"none": values, "mean": values.mean(), "sum": values.sum()}[reduction]

        def class_gradient(self, x, label=None, training_mode=False, **kwargs):
            """(N, K, ...) gradients of the logits, or (N, 1, ...) of one class, or of one class for each image."""
            x = self._images(x)
            wanted = range(self.nb_classes) if label is None else [label]
            return np.stack([self._model.vjp(x, _rows(len(x), k, self.nb_classes)) for k in wanted], axis=1)

        def get_activations(self, x, layer, batch_size=128, framework=False):
            raise NotYet("activations of single layers are not passed on to ART")

    return Estimator


def _numbers(y):
    y = np.asarray(y)
    return y.argmax(axis=1) if y.ndim == 2 else y.astype(np.int64)


def _rows(n, k, classes):
    """Return one-hot rows (n, classes) of a class, or of one class for each."""
    return np.eye(classes, dtype=np.float32)[np.broadcast_to(np.asarray(k), (n,))]
