"""A store under attack: real logits for a fixed set of images, with a few numbers changed, and the slopes of a score."""
import numpy as np

from tinyvgg.faults.execute import Session
from tinyvgg.faults.gains import Pull, graph_slopes, keras_slopes
from tinyvgg.faults.plan import changes_of


class GraphVictim:
    """A GraphStore and images x (N, H, W, C). Answers are kept op by op, so a trial computes only the layers after the flip."""

    def __init__(self, store, x):
        self.store, self.session, self._pull = store, Session(store, store.check_images(x)), Pull()

    @property
    def logits(self):
        """Logits (N, classes) float32 of the current store."""
        return self.store.real(self.session.logits)

    def trial(self, places):
        """Logits with the bits [(key, index, bit)] flipped; nothing is changed."""
        return self.store.real(self.session.trial(changes_of(self.store, places)))

    def commit(self, places):
        """Flip the bits for good."""
        self.session.commit(changes_of(self.store, places))

    def slopes(self, objective):
        """{key: d score / d stored number}."""
        dlogits = objective.slope(self.logits).reshape(-1, *self.store.original.logits.shape)
        return graph_slopes(self.store, self.session.values, dlogits, self._pull)


class KerasVictim:
    """A KerasStore and images; every trial runs the whole network."""

    def __init__(self, store, x):
        self.store, self.x = store, store.check_images(x)
        self.logits = store.logits(self.x)

    def trial(self, places):
        """As GraphVictim.trial."""
        self.store.toggle(places)
        try:
            return self.store.logits(self.x)
        finally:
            self.store.toggle(places)

    def commit(self, places):
        """As GraphVictim.commit."""
        self.store.toggle(places)
        self.logits = self.store.logits(self.x)

    def slopes(self, objective):
        """As GraphVictim.slopes."""
        return keras_slopes(self.store, self.x, objective.slope)[1]


def victim_of(store, x):
    """Return the victim of a store."""
    return GraphVictim(store, np.asarray(x)) if hasattr(store, "original") else KerasVictim(store, np.asarray(x))
