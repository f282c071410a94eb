"""Open the store of a model, in the form whose bits are flipped."""
from typing import Any

from tinyvgg.errors import OptionError
from tinyvgg.faults.image import ImageStore
from tinyvgg.faults.keras import KerasStore
from tinyvgg.faults.store import FileStore, Store


def open_store(model: Any, form: str = "image") -> Store:
    """Return the store of a classifier: a graph's file or C image ("file", "image"), or a float network's own arrays.

    model: nn.Model, QuantizedModel, CompressedModel or Graph; a Store is returned unchanged. A float network has only one form,
    its .h5's.
    """
    if isinstance(model, Store):
        return model
    graph = getattr(model, "graph", model)
    if hasattr(graph, "ops"):
        return FileStore(graph) if form == "file" else ImageStore(graph)
    if hasattr(model, "layers") and hasattr(model, "get_weights"):
        return KerasStore(model)
    raise OptionError(f"bits are flipped in a model's weights; got {type(model).__name__}", "tinyvgg.load_model(path)")
