"""Training: optimizers, schedules, the fit loop with resume, callbacks, adversarial training.

    from tinyvgg import data, models, train
    model, shapes = models.light(), data.load("shapes")
    train.fit(model, *shapes.part("train"), epochs=3, validation=0.1, out="runs/first")
    train.evaluate(model, *shapes.part("test"))["accuracy"]
"""
from tinyvgg.train.averaging import Average
from tinyvgg.train.callbacks import BestCheckpoint, Callback, EarlyStopping
from tinyvgg.train.evaluate import evaluate
from tinyvgg.train.fit import fit
from tinyvgg.train.optimizers import SGD, Adam, AdamW, RMSprop
from tinyvgg.train.predictions import save_predictions
from tinyvgg.train.widening import widen

__all__ = ["SGD", "Adam", "AdamW", "Average", "BestCheckpoint", "Callback", "EarlyStopping", "RMSprop", "evaluate", "fit", "save_predictions",
           "widen"]
