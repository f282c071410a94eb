"""How an answer is looked at: a named check calls it on cases and says in a sentence what is not right yet, then gives hints.

The first wrong answer is told what is wrong, the second where to look as well, the third how to go about it; none the solution.
"""
import sys

import numpy as np

from tinyvgg.errors import OptionError, TinyVGGError

EXERCISES = {}
HINTS = {}                  # exercise: (where to look, how to go about it)
WRONG = {}                  # exercise: wrong answers since the last right one
BLANK = "nothing was returned: fill in the blank"


class NotYetRight(AssertionError):
    """An answer to an exercise is missing or wrong; the message says what to look at."""

    def __init__(self, *problem):
        super().__init__(*problem)
        if sys.excepthook is sys.__excepthook__:        # in a plain script and at the prompt; another hook of the user's stays
            sys.excepthook = _sentences_alone

    def _render_traceback_(self):
        """What Jupyter shows in place of a traceback, whose lines would hold the solution."""
        return str(self).splitlines()


def exercise(*, where, how):
    """Register a check, a function of the answer, under its own name, with the two hints that follow what is wrong."""
    def register(function):
        EXERCISES[function.__name__], HINTS[function.__name__] = function, (where, how)
        return function
    return register


def check(name, answer, *, hints=None):
    """Check the `answer`, a function, to the exercise `name` of a notebook; print that it is right, or raise NotYetRight.

    The message is one sentence, what is wrong, and hints: none at the first wrong answer, then one more each time (a blank
    does not count). hints: 0, 1 or 2 for that many at once. Raises OptionError for another name or number.
    """
    wrong = verdict(name, answer, hints)
    if wrong is not None:
        raise wrong
    print(f"{name}: right")


def verdict(name, answer, hints=None):
    """None where the answer is right, or the NotYetRight that says what is wrong; see `check`."""
    if name not in EXERCISES:
        raise OptionError(f"there is no exercise {name!r}; there are {', '.join(EXERCISES)}")
    if hints not in (None, 0, 1, 2):
        raise OptionError(f"{hints!r} hints; expected 0, 1 or 2", "hints=2 for both")
    problem = _problem(name, answer)
    if problem is None:
        WRONG.pop(name, None)
        return None
    if hints is None:
        hints = min(WRONG.get(name, 0), 2)
        WRONG[name] = WRONG.get(name, 0) + (not problem.endswith("fill in the blank"))
    titled = zip(("Where to look", "How"), HINTS[name][:hints], strict=False)
    return NotYetRight("\n".join([f"{name}: {problem}", *(f"{title}: {hint}" for title, hint in titled)]))


def _problem(name, answer):
    """What is wrong with an answer, a sentence, or None."""
    try:
        if not callable(answer):
            expect(answer is not None and answer is not Ellipsis, BLANK)
            raise NotYetRight(f"the answer is {_kind(answer)}; expected a function")
        with np.errstate(all="ignore"):
            EXERCISES[name](Asked(answer))
    except NotYetRight as problem:
        return str(problem)
    except TinyVGGError:                    # the machine's, such as a missing compiler; an answer's own are sentences already
        raise
    except Exception as error:              # what came back is of a kind that cannot even be compared
        return f"what your function returned cannot be compared with numbers ({in_words(error)})"
    return None


class Asked:
    """An answer whose mistakes are sentences: it gets copies of its arguments, and what it raises names its line."""

    def __init__(self, function):
        self.function = function

    def __call__(self, *arguments):
        copies = [a.copy() if type(a) is np.ndarray else list(a) if type(a) is list else a for a in arguments]
        try:
            return self.function(*copies)
        except (Exception, SystemExit) as error:
            raise NotYetRight(f"your function raised {in_words(error)}{self._line(error)}") from None

    def _line(self, error):
        """ (line 3) of the answer's file or cell, where the error passed through it."""
        code, trace, line = getattr(self.function, "__code__", None), error.__traceback__, None
        while trace is not None:
            if code is not None and trace.tb_frame.f_code.co_filename == code.co_filename:
                line = trace.tb_lineno
            trace = trace.tb_next
        return "" if line is None else f" (line {line})"


def in_words(error):
    text = " ".join(str(error).split())
    return f"{type(error).__name__}{': ' if text else ''}{text[:160]}{'...' if len(text) > 160 else ''}"


def _kind(value):
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def _sentences_alone(kind, error, trace):
    """Show a NotYetRight as its sentences."""
    if issubclass(kind, NotYetRight):
        print(error, file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


def equal(found, expected, problem, *, tolerance=1e-6):
    """Raise NotYetRight with `problem` unless `found` has the shape of `expected` and its values, relative to the largest."""
    if found is None or found is Ellipsis or (isinstance(found, tuple) and any(f is None or f is Ellipsis for f in found)):
        raise NotYetRight(BLANK)
    try:
        if np.asarray(found).dtype.kind in "SU":
            raise TypeError("words")
        found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    except (TypeError, ValueError):
        raise NotYetRight(f"{problem}: the answer is {_kind(found)}; expected numbers") from None
    if found.shape != expected.shape:
        raise NotYetRight(f"{problem}: its shape is {found.shape}; expected {expected.shape}")
    wrong = ~np.isfinite(found)
    if wrong.any() and np.isfinite(expected).all():
        at = np.argwhere(wrong)[0]
        raise NotYetRight(f"{problem}: it is {found[tuple(at)]}{_place(at)}, no number any more")
    scale = max(float(np.abs(expected).max(initial=0)), 1e-12)
    errors = np.abs(found - expected)
    if not errors.max(initial=0) <= tolerance * scale:
        at = np.unravel_index(np.argmax(errors), found.shape)
        digits = next((d for d in (6, 9, 12) if f"{found[at]:.{d}g}" != f"{expected[at]:.{d}g}"), 17)
        raise NotYetRight(f"{problem}: it is {found[at]:.{digits}g}{_place(at)}; expected {expected[at]:.{digits}g}")


def _place(at):
    return f" at {[int(i) for i in at]}" if len(at) else ""


def expect(condition, problem):
    """Raise NotYetRight with `problem` unless `condition`."""
    if not condition:
        raise NotYetRight(problem)


def shaped(found, shape, what):
    """Raise NotYetRight unless `found` has this shape."""
    expect(found is not None and found is not Ellipsis, BLANK)
    expect(np.shape(found) == shape, f"{what} has shape {np.shape(found)}; expected {shape}")


def several(found, count):
    """Return `found`, a tuple or list of `count` things, or raise NotYetRight."""
    if found is None or found is Ellipsis:
        raise NotYetRight(BLANK)
    if not isinstance(found, tuple | list) or len(found) != count:
        size = f" of {len(found)}" if isinstance(found, tuple | list) else ""
        raise NotYetRight(f"the answer is {_kind(found)}{size}; expected {count} values, as in return a, b")
    return found
