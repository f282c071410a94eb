"""Where the files that Keras wrote are, if they are here: $TINYVGG_SHARED/keras-fixtures, or shared/ beside the checkout."""
import os
from pathlib import Path

FOLDER = Path(os.environ.get("TINYVGG_SHARED") or Path(__file__).resolve().parents[3] / "shared") / "keras-fixtures"
REASON = "no files that Keras wrote here: set TINYVGG_SHARED to a folder that holds keras-fixtures/"
ENDINGS = (".weights.h5", "_weights.h5", ".h5", ".keras")


def files():
    """(path, stem, ending) of every file of Keras 2 and 3."""
    found = []
    for path in sorted(FOLDER.glob("keras[23]/*")):
        ending = next((e for e in ENDINGS if path.name.endswith(e)), None)
        if ending:
            found.append((path, path.name.removesuffix(ending), ending))
    return found


def name(path):
    return f"{path.parent.name}/{path.name}"
