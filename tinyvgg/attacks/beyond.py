"""Models asked for images outside their range: where nothing clips an attack's steps, or a transform stands before the model."""
import copy

import numpy as np


def owner_of(model_fn, name):
    """The model, which may have been given as one of its bound methods; None for a plain function."""
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
    """Return a model for images outside its range, where steps that nothing clips lead: its layers compute on as they are.

    What takes bytes, as integers and boards do, is asked for the nearest valid images. What does not check stays as it is.
    """
    owner = owner_of(model_fn, "check_images")
    if owner is None:
        return model_fn
    if not hasattr(owner, "layers"):
        return _Clipped(owner)
    twin = copy.copy(owner)
    twin.input_range = (-np.inf, np.inf)
    return twin
