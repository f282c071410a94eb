"""The cost of one operation, by any of the rules."""

from dataclasses import dataclass


@dataclass
class Cost:
    """One row of an analysis; bytes and MACC are those of the code on the target.

    `model_macc` and `model_bytes` are of the model as given, before folding and compression; X-CUBE-AI prints both pairs.
    `bits`: of a weight; 4 or 8 if weights are shared, else 32 or 8. `elsewhere`: bytes of constants that it reads and
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
