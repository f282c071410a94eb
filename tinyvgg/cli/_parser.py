"""The parser of a verb: examples for each action; errors are one sentence and suggest the nearest valid word."""
import argparse
import re

from tinyvgg.words import OPTIONS, did_you_mean

EXAMPLE = re.compile(r"^(?:example: +| +)(tinyvgg .*)$", re.MULTILINE)


class Parser(argparse.ArgumentParser):
    """Parser whose description is a verb's docstring. Wrong words give a one-sentence error and exit code 2.

    of_action: {name: Parser} of a verb's actions; empty if it has none.
    """

    def __init__(self, *, description="", **options):
        super().__init__(description=description, formatter_class=argparse.RawDescriptionHelpFormatter, **options)
        self.of_action = {}

    def add_actions(self, adders):
        """Add the actions of the verb. Each of `adders` is called with add_parser(name, help=...)."""
        verbs = self.add_subparsers(dest="action", required=True, metavar="ACTION")
        self.of_action = verbs.choices

        def add_parser(name, help):
            examples = [line for line in EXAMPLE.findall(self.description) if line.split()[2:3] == [name]]
            return verbs.add_parser(name, help=help, description="\n".join([help, "", *(f"    {line}" for line in examples)]))
        for add in adders:
            add(add_parser)

    def parse_args(self, args=None, namespace=None):
        """Like argparse's, but an unknown option is reported before a missing one, and by the action that it was given to."""
        parser = self.asked(args)
        for word in args or ():
            name = word.split("=")[0]
            if name.startswith("--") and not any(known.startswith(name) for known in parser._option_string_actions):
                parser.error(f"there is no option {name}{_meant(name, parser)}")
        found, unknown = self.parse_known_args(args, namespace)
        if unknown:
            parser.error(f"{unknown[0]!r} is one word too many")
        empty = [a for a in parser._actions if getattr(found, a.dest, None) == "" and a.default != "" and a.dest not in NAMES]
        if empty:
            parser.error(f"{_name(empty[0])} is empty; expected a value")
        return found

    def asked(self, args):
        """Return the Parser for the words `args`: that of the action with which they begin, else this one."""
        return self.of_action.get(args[0], self) if args else self

    def error(self, message):
        """Print the mistake and what to try, and exit with code 2."""
        hint = f"{self.prog} --help"
        for pattern, say in SENTENCES.items():
            match = re.fullmatch(pattern, message)
            if match:
                message = say(*match.groups())
                if "required" in pattern:
                    hint = next((re.split(" {3,}", example)[0] for example in EXAMPLE.findall(self.description)), hint)
                break
        self.exit(2, f"{self.prog}: {message}{'' if message.endswith('?') else '.'}\nTry: {hint}\n")


def _name(action):
    return action.option_strings[0] if action.option_strings else action.metavar or action.dest


def _choice(name, word, listed):
    known = [text.strip("'") for text in listed.split(", ")]
    return f"{name} is {word!r}; expected one of {', '.join(known)}{did_you_mean(word, known)}"


def _meant(name, parser):
    """Return a suggestion for an unknown option: a word of the command, or the nearest option."""
    alone = {action.dest: action.metavar for action in parser._actions if not action.option_strings and action.metavar}
    word = name.lstrip("-")
    if word in alone:
        return f"; {alone[word]} stands without {name}"
    return did_you_mean(name, [known for known in parser._option_string_actions if known not in ("-h", "--help")], OPTIONS)


NAMES = ("data", "model")           # their own checks report an empty value
KINDS = {"int": "a whole number", "float": "a number"}
SENTENCES = {               # argparse's message -> the message that is printed
    r"the following arguments are required: (.*)": lambda names: f"{names.replace(', ', ' and ')} must be given",
    r"one of the arguments (.*) is required": lambda names: f"{names.replace(' ', ' or ')} must be given",
    r"argument (\S+): invalid choice: '?(.*?)'? \(choose from (.*)\)": _choice,
    r"argument (\S+): invalid (\w+) value: (.*)": lambda name, kind, word: f"{name} is {word}; expected {KINDS.get(kind, kind)}",
    r"argument (\S+): expected one argument": lambda name: f"{name} was given no value",
    r"argument (\S+): not allowed with argument (\S+)": lambda name, other: f"{name} and {other} exclude each other",
}


def by_options(error, parser):
    """Return the message of a TinyVGGError in terms of the command line: batch_size in Python becomes --batch-size."""
    options = {action.dest: _name(action) for action in parser._actions if action.option_strings}

    def named(match):
        return options.get(match[1], match[1])
    problem = re.sub(r"^([a-z_]+)(?= is )", named, error.problem)
    problem, hint = (re.sub(r"(?<![\w'\"./-])([a-z]+(?:_[a-z]+)+)(?![\w'\"./(=])", named, text) for text in (problem, error.hint))
    hint = re.sub(r"\b([a-z_]+)=(?=[\w'\"])", lambda m: f"{options[m[1]]} " if m[1] in options else m[0], hint)
    return f"{problem}.\nTry: {hint}" if hint else problem
