"""The layers, by Keras' names. To add one: a file here, an import and a name below, a row in tests/cases.py."""
from tinyvgg.nn.layers.activation import ELU, Activation, LeakyReLU, PReLU, ReLU, ReLU6, Sigmoid, SiLU, Softmax, Tanh
from tinyvgg.nn.layers.base import Layer
from tinyvgg.nn.layers.batch_normalization import BatchNormalization
from tinyvgg.nn.layers.conv2d import Conv2D
from tinyvgg.nn.layers.dense import Dense
from tinyvgg.nn.layers.depthwise_conv2d import DepthwiseConv2D
from tinyvgg.nn.layers.dropout import Dropout, SpatialDropout2D
from tinyvgg.nn.layers.merging import Add, Concatenate
from tinyvgg.nn.layers.noise import AlphaDropout, GaussianDropout, GaussianNoise, TrainingOnly
from tinyvgg.nn.layers.pooling import AveragePooling2D, GlobalAveragePooling2D, GlobalMaxPooling2D, MaxPooling2D
from tinyvgg.nn.layers.separable_conv2d import SeparableConv2D
from tinyvgg.nn.layers.shaping import Flatten, InputLayer, Normalization, Rescaling, Reshape, ZeroPadding2D
from tinyvgg.nn.layers.up_sampling2d import UpSampling2D

__all__ = [
    "LAYERS", "Activation", "Add", "AlphaDropout", "AveragePooling2D", "BatchNormalization", "Concatenate", "Conv2D", "Dense",
    "DepthwiseConv2D", "Dropout", "ELU", "Flatten", "GaussianDropout", "GaussianNoise", "GlobalAveragePooling2D",
    "GlobalMaxPooling2D", "InputLayer", "Layer", "LeakyReLU", "MaxPooling2D", "Normalization", "PReLU", "ReLU", "ReLU6", "Rescaling",
    "Reshape", "SeparableConv2D", "Sigmoid", "SiLU", "Softmax", "SpatialDropout2D", "Tanh", "TrainingOnly", "UpSampling2D",
    "ZeroPadding2D"]
LAYERS = {name: globals()[name] for name in __all__ if name not in ("LAYERS", "Layer")}
