"""Layers, models and losses."""
from tinyvgg.nn import layers
from tinyvgg.nn.config import layer_from_config, model_from_config
from tinyvgg.nn.model import Input, Model
from tinyvgg.nn.sequential import Sequential
from tinyvgg.nn.several import MultiModel
from tinyvgg.nn.summary import count_macc, summary_rows, summary_text

__all__ = ["Input", "Model", "MultiModel", "Sequential", "count_macc", "layer_from_config", "layers", "model_from_config",
           "summary_rows", "summary_text"]
