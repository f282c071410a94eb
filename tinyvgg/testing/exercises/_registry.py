"""How an answer is looked at: a named check calls it on cases and says in a sentence what is not right yet."""
import numpy as np

from tinyvgg.errors import OptionError

EXERCISES = {}


class NotYetRight(AssertionError):
    """An answer to an exercise is missing or wrong; the message says what to look at."""


def exercise(function):
    """Register a check, a function of the answer, under its own name."""
    EXERCISES[function.__name__] = function
    return function


def check(name, answer):
    """Check the `answer`, a function, to the exercise `name` of a notebook; print that it is right, or raise NotYetRight."""
    if name not in EXERCISES:
        raise OptionError(f"there is no exercise {name!r}; there are {', '.join(EXERCISES)}")
    EXERCISES[name](answer)
    print(f"{name}: right")


def equal(found, expected, hint, *, tolerance=1e-6):
    """Raise NotYetRight with `hint` unless `found` has the shape of `expected` and its values, relative to the largest."""
    if found is None or found is Ellipsis or (isinstance(found, tuple) and any(f is None for f in found)):
        raise NotYetRight("nothing was returned: fill in the blank")
    try:
        found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    except (TypeError, ValueError):
        raise NotYetRight(f"the answer is {type(found).__name__}; expected numbers. {hint}") from None
    if found.shape != expected.shape:
        raise NotYetRight(f"the answer has shape {found.shape}; expected {expected.shape}. {hint}")
    scale = max(float(np.abs(expected).max(initial=0)), 1e-12)
    error = float(np.abs(found - expected).max(initial=0))
    if not error <= tolerance * scale:
        off = np.nan_to_num(np.abs(found - expected), nan=np.inf)             # a NaN is further off than any number
        at = tuple(int(i) for i in np.unravel_index(off.argmax(), found.shape)) if found.shape else ()
        raise NotYetRight(f"{hint} (at {list(at)} it is {found[at]:.6g}; expected {expected[at]:.6g})")


def expect(condition, hint):
    """Raise NotYetRight with `hint` unless `condition`."""
    if not condition:
        raise NotYetRight(hint)


def several(found, count):
    """Return `found`, a tuple or list of `count` things, or raise NotYetRight."""
    if found is None or found is Ellipsis:
        raise NotYetRight("nothing was returned: fill in the blank")
    if not isinstance(found, tuple | list) or len(found) != count:
        raise NotYetRight(f"the answer is {type(found).__name__}; expected {count} values, return a, b, ...")
    return found
