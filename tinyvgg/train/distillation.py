"""Distillation: a network learns from the labels and from the answers of one or several larger networks.

Hinton, Vinyals, Dean (2015, arXiv:1503.02531), section 2. Letters: z the logits of the network in training, v the mean of its
teachers' logits, T the temperature, a the teachers' share, N images:

    L = (1 - a) CE(z, y) + a S^2 mean_n KL(softmax(v/T) || softmax(z/S))
    dL/dz = (1 - a) dCE/dz + a S (softmax(z/S) - softmax(v/T)) / N

S is T unless it is given. S^2 keeps the two terms' gradients in proportion when S changes. Teachers see the same augmented images
as the network. In adversarial training the teachers see the clean images and the network the attacked ones (Goldblum et al. 2020,
arXiv:1905.09747); with S = 1 the teachers' softened answers replace the labels (Chen, Lee 2021, arXiv:2111.02331).
"""
from typing import Any

import numpy as np

from tinyvgg.errors import OptionError, ShapeError
from tinyvgg.nn.losses import cross_entropy, log_softmax
from tinyvgg.types import Images, Labels


class Distillation:
    """A batch_hook for fit that adds the teachers' logits to the labels, and the loss that uses both.

    teachers: classifiers of the same images and classes, in inference mode; they are not changed. temperature: the teachers',
    0.01 to 1000. share: the teachers' share of the loss, 0 to 1. student_temperature: the network's, by default the teachers'.
    attack: an AdversarialBatches that attacks the images after the teachers' answers are computed. Raises OptionError or
    ShapeError.

        distillation = Distillation(zoo.load("base_cifar10"))
        fit(model, x, y, batch_hook=distillation, loss=distillation.loss)
    """

    def __init__(self, *teachers: Any, temperature: float = 4.0, share: float = 0.9, student_temperature: float | None = None,
                 attack: Any = None) -> None:
        student_temperature = temperature if student_temperature is None else student_temperature
        for whose, value in (("", temperature), ("student's ", student_temperature)):
            if not 0.01 <= value <= 1000:
                raise OptionError(f"the {whose}temperature is {value}; expected 0.01 to 1000", "4")
        if not 0 <= share <= 1:
            raise OptionError(f"the teacher's share of the loss is {share}; expected 0 to 1", "0.9")
        self.teachers, self.temperature, self.share = teachers, float(temperature), float(share)
        self.student_temperature, self.attack, self.rng = float(student_temperature), attack, np.random.default_rng(0)

    def check(self, model):
        """Raise ShapeError unless each teacher has the images and classes of `model`."""
        for teacher in self.teachers:
            for what in ("input_shape", "n_classes", "bounds"):
                ours, theirs = getattr(model, what), getattr(teacher, what)
                if ours != theirs:
                    raise ShapeError(f"the teacher's {what.replace('_', ' ')} is {theirs}, the network's {ours}; expected the "
                                     "same")

    def __call__(self, model, x: Images, y: Labels):
        answers = self.answers(x)
        if self.attack is not None:
            self.attack.rng = self.rng              # which fit draws anew each epoch
            x, _ = self.attack(model, x, y)
        return x, (y, answers)

    def answers(self, x: Images):
        """Return the mean of the teachers' logits (N, K) for float images x."""
        return sum(teacher.logits(x) for teacher in self.teachers) / len(self.teachers)

    def loss(self, logits, target):
        """Return (L, dL/dz) for logits (N, K) and (labels, teachers' logits); for labels only, the cross-entropy."""
        if not isinstance(target, tuple):
            return cross_entropy(logits, target)
        labels, taught = target
        hard, gradient = cross_entropy(logits, labels)
        log_p = log_softmax(taught.astype(logits.dtype) / logits.dtype.type(self.temperature))
        log_q = log_softmax(logits / logits.dtype.type(self.student_temperature))
        p = np.exp(log_p)
        soft = self.student_temperature ** 2 * float((p * (log_p - log_q)).sum(axis=1).mean(dtype=np.float64))
        pull = logits.dtype.type(self.share * self.student_temperature / len(logits)) * (np.exp(log_q) - p)
        return (1 - self.share) * hard + self.share * soft, logits.dtype.type(1 - self.share) * gradient + pull
