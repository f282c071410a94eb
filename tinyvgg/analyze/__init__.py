"""The cost of a model: parameters, MACC, flash and RAM by layer, on a board, by ST's rules or by ours.

tinyvgg.analyze.analyze(model, board="stm32l4r9i-disco", rules="xcubeai", compression="high").fits
"""

from tinyvgg.analyze import boards
from tinyvgg.analyze.analysis import Analysis, analyze
from tinyvgg.analyze.description import Operation, describe
from tinyvgg.analyze.maps import Look, look
from tinyvgg.analyze.open import describe_config, describe_h5

__all__ = ["Analysis", "Look", "Operation", "analyze", "boards", "describe", "describe_config", "describe_h5", "look"]
