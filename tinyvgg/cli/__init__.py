"""The command line: one file for each verb, with the name of the verb.

A verb's file has a docstring: its first line is shown by `tinyvgg`, the rest by `tinyvgg VERB --help`, with an example. It has
two functions: `add_arguments(parser)`, and `run(arguments)`, which returns the exit code or None for 0. Results go to standard
output (`--json` for machines), progress to standard error. Exit codes: 0 done, 1 a check failed, 2 wrong input.
"""
import ast
import contextlib
import importlib
import os
import re
import shlex
import sys
from pathlib import Path

from tinyvgg._version import __version__
from tinyvgg.cli._parser import Parser, by_options
from tinyvgg.errors import TinyVGGError
from tinyvgg.words import VERBS, nearest

FLOW = ("demo", "data", "train", "evaluate", "summary", "look", "convert", "analyze", "compress", "codegen", "firmware", "board",
        "attack", "bitflip", "crosscheck")


def verbs():
    """Return {verb: first line of its docstring} for every verb with a file here, in the usual order of work."""
    docstrings = {path.stem: ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "" for path in _files()}
    order = sorted(docstrings, key=lambda n: (FLOW.index(n) if n in FLOW else len(FLOW), n))
    return {name: docstrings[name].split("\n")[0] for name in order}


def _files():
    return Path(__file__).parent.glob("[a-z]*.py")


def main(argv=None):
    """Run the command line on `argv` (default: the process's own) and return the exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    _settle_streams()
    try:
        code = _dispatch(argv)
        sys.stdout.flush()                  # so that an error is reported here, not when the interpreter ends
        return code
    except KeyboardInterrupt:
        print("tinyvgg: stopped; what was measured so far is kept", file=sys.stderr)
        return 130
    except BrokenPipeError:
        _forget_output()
        return 0
    except (TinyVGGError, OSError, MemoryError) as error:
        if "--trace" in argv:
            raise
        _flush_or_forget()
        print(f"tinyvgg: {_sentence(error, argv)}", file=sys.stderr)
        return getattr(error, "exit_code", 2)


def _settle_streams():
    """Redirect closed streams to nowhere, and write characters that a stream cannot encode (an umlaut in ASCII) as escapes."""
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            with contextlib.suppress(OSError):
                os.fstat(number)
                continue
            while os.open(os.devnull, os.O_WRONLY) < number:        # else the next opened file would get the stream's number
                pass
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))
        elif getattr(getattr(sys, name), "errors", None) == "strict":
            with contextlib.suppress(AttributeError, OSError, ValueError):
                getattr(sys, name).reconfigure(errors="backslashreplace")


def _forget_output():
    """Discard output that is still to be written; else the interpreter would report an error when it ends."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _flush_or_forget():
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        _forget_output()


def _sentence(error, argv):
    """Return the message for an error outside the program: wrong input, missing rights, a full disk, too little memory."""
    if isinstance(error, TinyVGGError):
        return by_options(error, parser_of(argv[0]).asked(argv[1:]))
    if isinstance(error, MemoryError):
        return f"this needs more memory than there is ({error or 'no details'})"
    place = "" if error.filename is None else f"{error.filename}: "
    return f"{place}{error.strerror or error}"


def _dispatch(argv):
    if "_ARGCOMPLETE" in os.environ:
        from tinyvgg.cli._completion import complete
        complete()
    if argv[:1] == ["help"] and argv[1:]:
        argv = [*argv[1:], "--help"]
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(_overview())
        return 0
    if argv[0] == "--version":
        print(_versions())
        return 0
    verb, rest = argv[0], argv[1:]
    known = {path.stem for path in _files()}
    if verb not in known:
        return _unknown(verb, known)
    try:
        arguments = parser_of(verb, rest).parse_args(_with_negative_values(rest))
    except SystemExit as stop:
        return stop.code or 0
    from tinyvgg.report import record
    with record.results():
        record.tell(command=shlex.join(["tinyvgg", *argv]))
        return module_of(verb).run(arguments) or 0


def module_of(verb):
    """Return the module of a verb."""
    return importlib.import_module(f"tinyvgg.cli.{verb}")


def parser_of(verb, rest=()):
    """Return the Parser of `tinyvgg VERB`; if `rest` asks for help on one of its names (as attack's NAME), a Parser for that
    name."""
    module = module_of(verb)
    if {"-h", "--help"} & set(rest) and hasattr(module, "narrower"):
        narrower = module.narrower(rest[0])
        if narrower is not None:
            return narrower
    parser = Parser(prog=f"tinyvgg {verb}", description=module.__doc__)
    module.add_arguments(parser)
    return parser


def _with_negative_values(argv):
    """Join "--eps", "-1/255" to "--eps=-1/255": argparse would take the value for an option."""
    joined = []
    for word in argv:
        if re.match(r"-\.?\d", word) and joined and re.fullmatch(r"--[a-z-]+", joined[-1]):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def _unknown(verb, known):
    near = nearest(verb, [*sorted(known), "--version", "--help"], VERBS)
    message = f"there is no verb {verb!r}" + (f"; did you mean {near!r}?" if near else "; `tinyvgg` lists them")
    print(f"tinyvgg: {message}", file=sys.stderr)
    return 2


def _overview():
    lines = ["usage: tinyvgg VERB [options]        `tinyvgg VERB --help` shows each, with an example", ""]
    lines += [f"  {name:<11}{help_line}" for name, help_line in verbs().items()]
    lines += ["", "begin with: tinyvgg demo --out demo           runs everything; the report is demo/report.html",
              "example:    tinyvgg train --arch light --data shapes --epochs 3 --out runs/first", "",
              "tinyvgg --version names the versions that matter"]
    return "\n".join(lines)


def _versions():
    from tinyvgg.report.record import toolchain, versions
    libraries = ", ".join(f"{name} {version}" for name, version in versions().items() if name != "tinyvgg")
    tools = ", ".join(f"{name} {version}" for name, version in toolchain().items())
    return (f"tinyvgg {__version__} ({libraries})\n"
            f"for figures, firmware and the virtual board: {tools or 'nothing; pip install tinyvgg[all]'}")
