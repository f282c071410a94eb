"""What a result looks like where it is typed: one or two lines instead of its arrays."""
import dataclasses
import html

import numpy as np

LONGEST = 160       # characters of a repr, 60 of one value


def brief(value):
    """Return a value in a few words: numbers and short texts as they are, arrays by dtype and shape, collections by their size."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape}"
    text = repr(value) if not isinstance(value, list | tuple | dict) or len(value) <= 4 else ""
    if text and len(text) <= 60:
        return text
    if isinstance(value, list | tuple | dict):
        return f"{len(value)} {'entries' if isinstance(value, dict) else 'items'}"
    return f"{text[:57]}..."


def briefly(cls):
    """Class decorator for a dataclass: a repr of its fields in at most LONGEST characters, the first fields first."""
    def show(self):
        parts, length = [], len(type(self).__name__) + 5
        for field in dataclasses.fields(self):
            part = f"{field.name}={brief(getattr(self, field.name))}"
            if length + len(part) + 2 > LONGEST:
                parts.append("...")
                break
            parts.append(part)
            length += len(part) + 2
        return f"{type(self).__name__}({', '.join(parts)})"
    cls.__repr__ = show
    return cls


def preformatted(text):
    """Return text as HTML for a notebook's output."""
    return f"<pre>{html.escape(text)}</pre>"
