"""Images and labels: CIFAR-10 in its official layouts, pairs of .npy files, the generated shapes set, batches, augmentation.

    from tinyvgg import data
    cifar = data.load("cifar10")            # or "shapes", a folder, an archive, "X.npy,Y.npy"
    x, y = cifar.part("test")               # uint8 (N, 32, 32, 3), int64 (N,)
"""
from tinyvgg.data.augment import Augment
from tinyvgg.data.batches import batches
from tinyvgg.data.dataset import DataSet
from tinyvgg.data.source import load, load_for
from tinyvgg.images import float_images as model_input

__all__ = ["Augment", "DataSet", "batches", "load", "load_for", "model_input"]
