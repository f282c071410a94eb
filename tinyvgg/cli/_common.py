"""Common to all verbs: shared options, and one way to print a result."""
import json
import sys

from tinyvgg.report.record import plain, told


def add_common(parser, *, seed=True):
    """Add --seed, --json, --quiet and --trace, which every verb has; seed=False: nothing in the verb is random."""
    parser.add_argument("--seed", type=int, default=0, help="whole number that fixes every random choice (default 0)" if seed else
                        "accepted as by every verb; nothing here is random")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")
    parser.add_argument("--quiet", action="store_true", help="no progress on standard error")
    parser.add_argument("--trace", action="store_true", help="show the whole traceback of an error")


def by_actions(adders):
    """Return add_arguments and run of a verb that consists of actions; each of them sets `work`, its function of the arguments."""
    return lambda parser: parser.add_actions(adders), lambda arguments: arguments.work(arguments)


def add_workers(parser, what):
    """Add --workers and --dask; `what` names the actions that use them."""
    parser.add_argument("--workers", type=int, metavar="N",
                        help=f"for {what}: number of processes that share the work, one thread each (or TINYVGG_NUM_THREADS); the rows stay the same")
    parser.add_argument("--dask", metavar="ADDRESS", help=f"for {what}: a Dask scheduler whose workers share the work, such as tcp://HOST:8786")


def print_result(arguments, result, text):
    """Print `result` (plain data) as JSON with --json, else `text`, on standard output. A dict gets the command and its data."""
    if arguments.json:
        print(json.dumps(plain({**told(), **result} if isinstance(result, dict) else result), allow_nan=False))
    else:
        print(text)


def images_told(about):
    """Return a text about the images of a result; about: the result of DataSet.told."""
    held_out = about.get("held_out")
    part = "" if about["part"] == "all" else f"{about['part']} "
    return f"{about['n']} {part}images of {about['data']}" + (
        f", held out of its {held_out['of']}, seed {held_out['seed']}" if held_out and about["part"] == "test" else "")


def note(arguments, text):
    """Print `text` on standard error unless --quiet."""
    if not arguments.quiet:
        print(text, file=sys.stderr, flush=True)


def note_fewer(arguments, n):
    """Print a note if there are only `n` images, fewer than -n asks for."""
    if arguments.n is not None and n < arguments.n:
        note(arguments, f"-n {arguments.n} asks for more images than there are; these are all {n}")


def parse_size(text, option="--flash 256K"):
    """Return bytes for 262144, "256K" (KiB) or "1M" (MiB); None stays None."""
    from tinyvgg.errors import OptionError
    if text is None:
        return None
    try:
        number, unit = (text[:-1], text[-1].upper()) if isinstance(text, str) and text[-1:].upper() in ("K", "M") else (text, "")
        size = float(number) * {"": 1, "K": 1024, "M": 1024 ** 2}[unit]
    except (TypeError, ValueError):
        size = 0
    if not 1 <= size < 2 ** 40:
        raise OptionError(f"a size of {text!r} was given; expected bytes, or KiB or MiB", option)
    return int(size)
