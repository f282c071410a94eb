"""Whether a network may have changed since somebody looked: the arrays that its layers hold, and the layers' options.

To look at each of them takes as long as a small network's prediction. So whoever changes one leaves a mark, a new object for each
change, and whoever has seen the mark of now need not look again. What is inside an array or a list may change without a mark.
"""
import functools

_mark = [object()]


def mark():
    """Return the mark of the last change. Ask for it before you look."""
    return _mark[0]


def note():
    """Leave a new mark. Note before a change, since an interrupt may come right after it, and again after it, for threads that have looked
    in between.
    """
    _mark[0] = object()


def _noting(method):
    @functools.wraps(method)
    def change(self, *arguments, **named):
        note()
        try:
            return method(self, *arguments, **named)
        finally:
            note()
    return change


class Arrays(dict):
    """A layer's arrays by name. To put another array in place of one leaves a mark."""

    __setitem__, __delitem__, __ior__ = _noting(dict.__setitem__), _noting(dict.__delitem__), _noting(dict.__ior__)
    update, setdefault, pop = _noting(dict.update), _noting(dict.setdefault), _noting(dict.pop)
    popitem, clear = _noting(dict.popitem), _noting(dict.clear)
