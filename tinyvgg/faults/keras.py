"""The arrays of a float network as in its .h5 file."""
import numpy as np

from tinyvgg.faults.store import Store
from tinyvgg.report.record import sha256_arrays


class KerasStore(Store):
    """An nn.Model's arrays, "layer/kernel" and so on, float32. The model itself is not changed: bits of a copy are flipped."""

    def __init__(self, model):
        import copy
        super().__init__(model.name, model.n_classes)
        self.model = copy.deepcopy(model)
        self.arrays = {key: np.ascontiguousarray(array) for key, array in self.model.weights}
        self.sha256 = sha256_arrays(*self.model.get_weights())

    def changed(self, keys):
        for layer in self.model.layers:
            for name, _ in layer.weights:
                if f"{layer.name}/{name}" in keys:
                    layer.set_weight(name, self.arrays[f"{layer.name}/{name}"])

    def check_images(self, x):
        """Return images as the model takes them."""
        return self.model.check_images(x)

    def logits(self, x, *, batch_size=250):
        """x (N, H, W, C) -> (N, classes) float32; a huge weight may give infinities and NaN."""
        with np.errstate(all="ignore"):
            return self.model.logits(self.check_images(x), batch_size=batch_size)
