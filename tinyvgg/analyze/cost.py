"""What one operation costs, whichever rules counted it."""

from dataclasses import dataclass


@dataclass
class Cost:
    """One row of an analysis; bytes and MACC are those of what runs on the target.

    `model_macc` and `model_bytes` are of the model as given, before folding and compression: X-CUBE-AI prints both.
    `bits` are those of a weight where it is shared (4 or 8), 32 or 8 otherwise. `elsewhere`: bytes of constants that it reads and
    another operation stores.
    """

    name: str
    kind: str
    layer: str
    output_shape: tuple
    parameters: int
    macc: int
    weights_bytes: int
    model_macc: int = 0
    model_bytes: int = 0
    bits: int = 32
    estimated: bool = False
    note: str = ""
    elsewhere: int = 0

    def as_dict(self):
        """Return the row as plain data, with the keys of --json."""
        return {
            "name": self.name,
            "type": self.kind,
            "output_shape": list(self.output_shape),
            "parameters": self.parameters,
            "macc": self.macc,
            "weights_bytes": self.weights_bytes,
            "bits": self.bits,
            "note": self.note,
        }
