"""The layers, by Keras' names. To add one: a file here, an import and a name below, a row in tests/cases.py."""
from tinyvgg.nn.layers.activation import ELU, Activation, LeakyReLU, PReLU, ReLU, ReLU6, Sigmoid, SiLU, Softmax, Tanh
from tinyvgg.nn.layers.base import Layer
from tinyvgg.nn.layers.batch_normalization import BatchNormalization
from tinyvgg.nn.layers.bidirectional import Bidirectional
from tinyvgg.nn.layers.conv1d import Conv1D, DepthwiseConv1D, SeparableConv1D
from tinyvgg.nn.layers.conv2d import Conv2D
from tinyvgg.nn.layers.cropping2d import Cropping2D
from tinyvgg.nn.layers.dense import Dense
from tinyvgg.nn.layers.depthwise_conv2d import DepthwiseConv2D
from tinyvgg.nn.layers.dropout import Dropout, SpatialDropout1D, SpatialDropout2D
from tinyvgg.nn.layers.layer_normalization import LayerNormalization
from tinyvgg.nn.layers.merging import Add, Average, Concatenate, Maximum, Multiply, Subtract
from tinyvgg.nn.layers.noise import AlphaDropout, GaussianDropout, GaussianNoise, TrainingOnly
from tinyvgg.nn.layers.pooling import AveragePooling2D, GlobalAveragePooling2D, GlobalMaxPooling2D, MaxPooling2D
from tinyvgg.nn.layers.pooling1d import AveragePooling1D, GlobalAveragePooling1D, GlobalMaxPooling1D, MaxPooling1D
from tinyvgg.nn.layers.recurrent import GRU, LSTM, SimpleRNN
from tinyvgg.nn.layers.resizing import Resizing
from tinyvgg.nn.layers.separable_conv2d import SeparableConv2D
from tinyvgg.nn.layers.shaping import Flatten, InputLayer, Normalization, Permute, Rescaling, Reshape, ZeroPadding2D
from tinyvgg.nn.layers.shaping1d import Cropping1D, UpSampling1D, ZeroPadding1D
from tinyvgg.nn.layers.up_sampling2d import UpSampling2D

__all__ = [
    "LAYERS", "Activation", "Add", "AlphaDropout", "Average", "AveragePooling1D", "AveragePooling2D", "BatchNormalization",
    "Bidirectional", "Concatenate", "Conv1D", "Conv2D", "Cropping1D", "Cropping2D", "Dense", "DepthwiseConv1D", "DepthwiseConv2D", "Dropout",
    "ELU", "Flatten", "GaussianDropout", "GaussianNoise", "GlobalAveragePooling1D", "GlobalAveragePooling2D",
    "GlobalMaxPooling1D", "GlobalMaxPooling2D", "GRU", "InputLayer", "LSTM", "Layer", "LayerNormalization", "LeakyReLU",
    "MaxPooling1D", "MaxPooling2D", "Maximum", "Multiply", "Normalization", "PReLU", "Permute", "ReLU", "ReLU6", "Rescaling",
    "Reshape", "Resizing", "SeparableConv1D", "SeparableConv2D", "Sigmoid", "SiLU", "SimpleRNN", "Softmax", "SpatialDropout1D",
    "SpatialDropout2D", "Subtract", "Tanh", "TrainingOnly", "UpSampling1D", "UpSampling2D", "ZeroPadding1D", "ZeroPadding2D"]
LAYERS = {name: globals()[name] for name in __all__ if name not in ("LAYERS", "Layer")}
