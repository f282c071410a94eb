"""Where tensors lie in the arena: those that live at the same time never overlap."""
from dataclasses import dataclass

ALIGNMENT = 8


@dataclass(frozen=True)
class Tensor:
    """`size` bytes in use from step `born` to step `died`, both included."""
    name: str
    size: int
    born: int
    died: int


def place(tensors, *, first=None):
    """Return ({name: offset}, bytes of the arena): the largest first, each at the lowest place that is free while it lives.

    `first`: a tensor that must lie at offset 0.
    """
    placed, offsets = [], {}
    for tensor in sorted(tensors, key=lambda t: (t.name != first, -t.size, t.born, t.name)):
        others = sorted((offsets[o.name], o.size) for o in placed if o.born <= tensor.died and tensor.born <= o.died)
        at = 0
        for start, size in others:
            if at + tensor.size <= start:
                break
            at = max(at, _aligned(start + size))
        offsets[tensor.name] = at
        placed.append(tensor)
    return offsets, max((_aligned(offsets[t.name] + t.size) for t in tensors), default=ALIGNMENT)


def _aligned(n):
    return -(-n // ALIGNMENT) * ALIGNMENT
