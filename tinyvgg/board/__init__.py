"""Talk to a real board over a pyserial URL, or to a virtual one: protocols, the link, the board as a classifier."""
from tinyvgg.board.classifier import Answers, Board, quantize
from tinyvgg.board.link import FaultyLink, open_link
from tinyvgg.board.protocol import BoardInfo, Usage

__all__ = ["Answers", "Board", "BoardInfo", "FaultyLink", "Usage", "open_link", "quantize"]
