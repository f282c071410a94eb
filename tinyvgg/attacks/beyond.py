"""Evaluate models on images outside their range, as attacks without clipping and transforms before the model need it."""
import copy

import numpy as np


def owner_of(model_fn, name):
    """Return the model of a bound method, or the model itself; None for a plain function."""
    return model_fn if hasattr(model_fn, name) else getattr(model_fn, "__self__", None)


class _Clipped:
    """A classifier that is asked for the nearest valid images."""

    def __init__(self, model):
        self.model = model

    def __getattr__(self, name):
        function = getattr(self.model, name)
        if name not in ("logits", "scores", "labels", "predict", "vjp"):
            return function
        return lambda x, *rest, **settings: function(np.clip(x, *self.model.bounds, dtype=x.dtype), *rest, **settings)


def beyond(model_fn):
    """Return a model that accepts images outside its range. A float network computes on such values unchanged. A model that takes
    bytes (integer network, board) gets the nearest valid images. A model that checks nothing is returned unchanged.
    """
    owner = owner_of(model_fn, "check_images")
    if owner is None:
        return model_fn
    if not hasattr(owner, "layers"):
        return _Clipped(owner)
    twin = copy.copy(owner)
    twin.input_range = (-np.inf, np.inf)
    return twin
