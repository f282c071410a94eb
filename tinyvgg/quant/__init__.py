"""Compression and the integer model: calibrate, lower, share weights, fine-tune, simulate bit by bit; one .tvq file a model."""

_HOME = {"quantize": "model", "QuantizedModel": "model", "CompressedModel": "compressed", "load_tvq": "tvq", "save_tvq": "tvq"}


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"module 'tinyvgg.quant' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"tinyvgg.quant.{_HOME[name]}"), name)
