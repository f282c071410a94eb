"""What setup.cfg cannot say: the README as PyPI shows it, where links into the repository would lead nowhere."""
import re
from pathlib import Path

from setuptools import setup

IMAGE = r"!\[[^\]]*\]\((?!https?:)[^)]*\)\n\n(\*[^\n]*\*\n\n)?"         # with the line that says what it is
LINK = r"\[([^\]]+)\]\((?!https?:|#)[^)]*\)"


def shown(text):
    """The README without its images and marks, the words of a link into the repository without the link."""
    return re.sub(LINK, r"\1", re.sub(r"<!--.*?-->\n?", "", re.sub(IMAGE, "", text), flags=re.S))


setup(long_description=shown((Path(__file__).parent / "README.md").read_text(encoding="utf-8")))
