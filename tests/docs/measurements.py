"""Which numbers of a page look measured and stand in no mark, so that no result file vouches for them."""
import re

MARKED = [re.compile(pattern, re.S | re.M) for pattern in (
    r"^ *```.*?^ *```", r"<!-- table: .*?<!-- table end -->", r"<!-- value: .*?<!-- end -->",
    r"<!--.*?-->")]
NUMBER = r"(?<![\w.,/^])[-+]?\d[\d,]*(?:\.\d+)?"
UNIT = (r"%|per cent\b|(?:[mnuµ]?s|seconds?|minutes?|hours?|days?|M? ?cycles|instructions|points|times|images a second|FLOP/s|GFLOP/s"
        r"|B|KB|MB|GB|KiB|MiB|[kM]?bytes?)\b")
LOOKS_MEASURED = re.compile("|".join((
    rf"{NUMBER} ?(?:{UNIT})", rf"{NUMBER}e[-+]?\d+",                                   # 3.2 ms, 5.8e-06
    rf"{NUMBER} (?:out )?of (?:the |all )?{NUMBER}",                                    # 637 of 1,000
    r"(?<![\w.,])\d{1,3}(?:,\d{3})+(?!\w|[.,]\d|\s+(?:test |training |validation )?images)",    # 431,744, not 5,000 test images
    r"(?<=\| )[-+]?\d+\.\d+(?= [|(])")))                                                # a cell of a table: | 1.02 |


def unproven(text, allowed=()):
    """Return (line number, number) of everything that looks measured and stands neither in a mark nor within allowed words."""
    spans = [m.span() for pattern in [*MARKED, *map(words, allowed)] for m in pattern.finditer(text)]
    return [(text.count("\n", 0, m.start()) + 1, m[0]) for m in LOOKS_MEASURED.finditer(text)
            if not any(start <= m.start() and m.end() <= end for start, end in spans)]


def words(exact):
    """A pattern of these words, also where a line breaks between them."""
    return re.compile(r"\s+".join(map(re.escape, exact.split())))
