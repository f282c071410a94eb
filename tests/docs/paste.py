"""python tests/docs/paste.py PAGE [NUMBER]: a page's Python snippets in order in this new interpreter, or one of them; a line SPLIT after each."""
import sys

SPLIT = "\x1e"

if __name__ == "__main__":
    from pathlib import Path

    from pages import blocks  # this file's folder is on the path of a script

    page = Path(sys.argv[1])
    only = int(sys.argv[2]) if len(sys.argv) > 2 else None
    found = [block for block in blocks(page) if block.language == "python"]
    names = {"__name__": "__main__"}
    for number, block in enumerate(found):
        if block.reason is None and only in (None, number):
            exec(compile(block.text, f"{page.name}, snippet {number + 1}", "exec"), names)
        print(SPLIT, flush=True)
