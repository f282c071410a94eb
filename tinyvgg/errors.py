"""One exception tree. Each message is for the person who made the mistake: what was wrong, what was expected, what to try.

    raise ShapeError("photo.npy has shape (100, 3, 32, 32); expected (N, 32, 32, 3), channels last",
                     'np.save("photo.npy", x.transpose(0, 2, 3, 1))')
"""
import re

LONGEST_WORD, LONGEST_SENTENCE = 120, 1600      # characters of a message; a SHA-256 has 64, the longest list of names some hundreds


class TinyVGGError(Exception):
    """A mistake in the input, never a fault of the program. `problem` is a sentence, `hint` (optional) what to try.

    Both may repeat what came from a file: a number of thousands of digits is told by its beginning and its length. Both may name
    options of the command line, --batch-size 64: in Python, str() says batch_size=64.
    """

    exit_code = 2

    def __init__(self, problem, hint=""):
        problem, hint = re.sub(r"\s*\n\s*", " ", shortened(problem)), shortened(hint)
        super().__init__(problem, hint)
        self.problem, self.hint = problem, hint

    def __str__(self):
        problem, hint = in_python(self.problem), in_python(self.hint)
        return f"{problem}.\nTry: {hint}" if hint else problem


COMMAND = re.compile(r"(?:^|[\s`(])(?:tinyvgg [a-z]|firmware build |python |pip |sudo |cmake |git )")
OPTION = re.compile(r"""(?<![\w'"./-])--([a-z][a-z-]*[a-z])(?:[ =](?!--)([\w./:*-]+(?:,[\w./:*-]+)*|'[^']*')(?=$|[,;.)]| --| or |\s*$))?""")
SWITCHES = ("resume", "replace", "lenient", "quiet", "swa")
PROSE = ("and", "or", "is", "was", "were", "need", "belong", "images", "out")         # what follows an option without being its value


def in_python(text):
    """Return `text` with options of the command line as Python's keywords: --flash-model none becomes flash_model="none".

    A command of a shell, from its first word to the end, stays as it is.
    """
    command = COMMAND.search(text)
    end = command.start() if command else len(text)

    def keyword(match):
        name, value = match[1].replace("-", "_"), match[2]
        if value is None or value in PROSE:
            return f"{name}=True" if name in SWITCHES else match[0].replace(f"--{match[1]}", name)
        number = re.fullmatch(r"-?\d+(\.\d+)?(e-?\d+)?", value)
        return f"{name}={value}" if number or value[0] == "'" else f'{name}="{value}"'
    return OPTION.sub(keyword, text[:end]) + text[end:]


def shortened(text):
    """Return `text` with words of more than LONGEST_WORD characters cut, and cut in its middle where it is still too long."""
    text = re.sub(rf"\w{{{LONGEST_WORD + 1},}}", lambda word: f"{word[0][:24]}... ({len(word[0]):,} characters)", str(text))
    if len(text) <= LONGEST_SENTENCE:
        return text
    return f"{text[:LONGEST_SENTENCE // 2]} ... ({len(text):,} characters) ... {text[-LONGEST_SENTENCE // 4:]}"


class ShapeError(TinyVGGError, ValueError):
    """Arrays or layers whose shapes do not fit."""


class OptionError(TinyVGGError, ValueError):
    """A setting outside what is understood: an unknown layer option, a negative eps, a name that does not exist."""


class DataError(TinyVGGError, ValueError):
    """Images or labels that cannot be used: missing, cut, out of range, not numbers."""


class FormatError(TinyVGGError, ValueError):
    """A file that is not what its name says, or is damaged."""


class WriteError(TinyVGGError, OSError):
    """A result could not be written; nothing half written was left behind."""


class MissingExtra(TinyVGGError, ImportError):
    """An optional package is not installed; the message names the extra that brings it."""


class NotYet(TinyVGGError, NotImplementedError):
    """Something that this version does not do; the message says where it would be added."""


class GradientError(TinyVGGError, TypeError):
    """A gradient was asked of something that has none."""


class BudgetError(TinyVGGError):
    """A budget (bytes, cycles, queries) that cannot be met or is used up; the message says the least that can."""


class QuantError(TinyVGGError, ValueError):
    """A model or calibration that cannot be turned into integers."""


class BuildError(TinyVGGError):
    """A compiler is missing or refused the code; or the image does not fit."""


class MachineError(TinyVGGError, RuntimeError):
    """The machine refuses what is needed: threads, memory, address space; the message says how much of it."""


class LinkError(TinyVGGError, OSError):
    """The line to the board: no port, silence, damage, a stranger at the other end."""


class LinkTimeout(LinkError):
    """No answer within the time limit."""


class DeviceError(LinkError):
    """The board answered with an error of its own; the message names it."""


class CheckFailed(TinyVGGError):
    """A comparison that was asked for came out different: exit code 1, not 2."""

    exit_code = 1


def require(module, extra):
    """Import `module` for the extra that brings it, or raise MissingExtra with the command that installs it."""
    import importlib
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtra(f"{module.split('.')[0]} is not installed", f'pip install "tinyvgg[{extra}]"') from error
