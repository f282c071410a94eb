"""What stands in the pages: commands and snippets, and which of them are marked as not run, with the reason.

A block is left out where the line before it is <!-- not run: needs a board -->; one that says nothing is run.
"""
import re
import shlex
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
REASONS = ("needs a board", "needs the network", "needs X-CUBE-AI's files", "needs other packages", "takes minutes",
           "takes hours")
ELSEWHERE = {"data download": "needs the network", "firmware flash": "needs a board", "/dev/tty": "needs a board"}
MARK = re.compile(r"<!-- not run: (.*?) -->")
FENCE = re.compile(r"( *)```(\{[^}]*\}|[a-z-]*)")


@dataclass(frozen=True)
class Block:
    """Code in a page: its language ("" for an indented block), its text without indentation, why it is not run (or None)."""

    language: str
    text: str
    reason: str | None


def blocks(path):
    """Return the Blocks of a page in order: those between fences, and indented ones after an empty line or a heading."""
    lines, found, i = path.read_text(encoding="utf-8").splitlines(), [], 0
    while i < len(lines):
        start, fence = i, FENCE.match(lines[i])
        if fence:
            i = next(k for k in range(i + 1, len(lines)) if lines[k].strip() == "```")
            found.append(Block(fence[2], _dedented(lines[start + 1 : i]), _mark(lines, start)))
        elif lines[i].startswith("    ") and (i == 0 or not lines[i - 1].strip() or lines[i - 1].startswith(("#", "<!--"))):
            while i + 1 < len(lines) and (lines[i + 1].startswith("    ") or not lines[i + 1].strip()):
                i += 1
            found.append(Block("", _dedented(lines[start : i + 1]), _mark(lines, start)))
        i += 1
    return found


def _dedented(lines):
    return textwrap.dedent("\n".join(lines)).strip("\n")


def _mark(lines, start):
    """The reason that a comment right before line `start` gives, or None."""
    before = next((line for line in reversed(lines[:start]) if line.strip()), "")
    mark = MARK.fullmatch(before.strip())
    return mark and mark[1]


def commands(path, *, marked=False):
    """Return the tinyvgg commands of a page, as lists of words; with `marked`, those that are not run too."""
    return [words for block in blocks(path) for words in commands_of(block, marked=marked)]


def commands_of(block, *, marked=False):
    """The same of one Block."""
    if block.language not in ("", "sh", "console") or block.reason is not None and not marked:
        return []
    lines = re.sub(r"\\\n\s*", " ", block.text).splitlines()
    found = [shlex.split(_without_comment(line.removeprefix("$ "))) for line in lines if re.match(r"(\$ )?tinyvgg( |$)", line)]
    return [words for words in found if marked or not any(part in " ".join(words) for part in ELSEWHERE)]


def _without_comment(line):
    """The command of a line: what stands after # or after three spaces is said about it; > FILE is the shell's."""
    return re.split(r" #| {3,}(?=[a-z])| > ", line)[0]


def spans(path, program="tinyvgg"):
    """Return the commands of a program that stand within the text of a page, `tinyvgg ...`, as lists of words."""
    text = re.sub(r"```.*?```|<!--.*?-->", "", path.read_text(encoding="utf-8"), flags=re.S)
    return [shlex.split(span) for span in re.findall(rf"`({program}(?: [^`]*)?)`", text)]
