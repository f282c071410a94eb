"""Compression and the integer model: calibrate, lower, share weights, fine-tune, simulate bit by bit. Each model is one .tvq
file."""
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinyvgg.quant.compressed import CompressedModel
    from tinyvgg.quant.model import QuantizedModel, quantize
    from tinyvgg.quant.tvq import load_tvq, save_tvq

_HOME = {"quantize": "model", "QuantizedModel": "model", "CompressedModel": "compressed", "load_tvq": "tvq", "save_tvq": "tvq"}
__all__ = ["CompressedModel", "QuantizedModel", "load_tvq", "quantize", "save_tvq"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'tinyvgg.quant' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"tinyvgg.quant.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
