"""Completion in the shell by argcomplete (extra `completion`): eval "$(register-python-argcomplete tinyvgg)"."""
import os

from tinyvgg import cli
from tinyvgg.cli._parser import Parser
from tinyvgg.errors import require


def complete(**settings):
    """Answer the shell's request, which is in the environment, and exit. settings: of argcomplete.autocomplete, for tests."""
    argcomplete = require("argcomplete", "completion")
    root = Parser(prog="tinyvgg")
    verbs = root.add_subparsers(metavar="VERB")
    asked = os.environ.get("COMP_LINE", "").split()[1:2]
    for name, does in cli.verbs().items():
        parser = verbs.add_parser(name, help=does)
        if asked == [name]:                         # the other verbs need not be imported
            cli.module_of(name).add_arguments(parser)
            for one in (parser, *parser.of_action.values()):
                _name_words(one, argcomplete.completers.FilesCompleter())
    argcomplete.autocomplete(root, **settings)


def _name_words(parser, files):
    """Attach the known names to the options that take a name."""
    def of(*words, with_files=False):
        return lambda prefix="", **_: [*words, *(files(prefix) if with_files else [])]
    from tinyvgg import attacks, zoo
    from tinyvgg.analyze import boards
    from tinyvgg.cli._attack_studies import STUDIES
    from tinyvgg.quant.schemes import SCHEMES
    names = {"name": of(*attacks.ATTACKS, *STUDIES, "list"), "attack": of(*attacks.ATTACKS), "model": of(*zoo.names(), with_files=True),
             "data": of("cifar10", "cifar100", "shapes", with_files=True), "scheme": of(*SCHEMES), "board": of(*boards.names())}
    for action in parser._actions:
        if action.dest in names and action.choices is None:
            action.completer = names[action.dest]
