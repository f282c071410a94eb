"""TensorFlow Lite's files: float networks become an nn.Model, integer ones a QuantizedModel with TensorFlow Lite's own integers."""
from tinyvgg.io.tflite.export import export as save_model
from tinyvgg.io.tflite.load import load_model

__all__ = ["load_model", "save_model"]
