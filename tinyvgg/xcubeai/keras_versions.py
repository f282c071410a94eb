"""Why X-CUBE-AI stopped, in its own words, and which Keras files each of its versions opens."""

import re

# (first release, what it opens): by ST's own messages and documents, and by reports of files that were opened.
OPENS = (
    ((4, 0), "Keras 2.3.1 and older (5.0 says so and refused 2.8)"),
    ((5, 2), "tf.keras 2.4 (5.2 opened files of it)"),
    ((7, 0), "tf.keras up to 2.7 as ST documents it"),
    ((10, 2), "files of Keras 3 in practice (10.2 opened one of Keras 3.12), up to tf.keras 2.7 as ST documents it"),
    ((11, 0), "Keras 3, and 2.15 and older through tf_keras"),
)
STOPPED = re.compile(r"INVALID MODEL|NOT IMPLEMENTED|TOOL ERROR|INTERNAL ERROR")
CAUSES = (
    (
        re.compile(r"saved with Keras ([\d.]{1,20})"),
        "the .h5 was written by Keras {0}; this version of X-CUBE-AI opens {opens}. "
        "`tinyvgg convert in.h5 out.h5` writes a file that Keras 2 and 3 both read, or export the model to TFLite or ONNX",
    ),
    (
        re.compile(r"not (?:supported|implemented)|NOT IMPLEMENTED|Unknown layer", re.I),
        "X-CUBE-AI has no such layer: replace it by layers that it has, or leave it out of the network and compute it outside",
    ),
)


def opens(release):
    """Return which Keras files a release of X-CUBE-AI opens, as text."""
    fitting = [text for first, text in OPENS if first <= release]
    return fitting[-1] if fitting else OPENS[0][1]


def explain_stop(report):
    """Return ST's error message with its meaning, or an empty string if the tool did not stop."""
    stated = report.header.get("error") or next((text for text in report.log + report.notes if STOPPED.match(text)), "")
    if not stated:
        return ""
    for pattern, meaning in CAUSES:
        if found := pattern.search(stated):
            return f"X-CUBE-AI stopped: {stated} ({meaning.format(*found.groups(), opens=opens(report.release))})"
    return f"X-CUBE-AI stopped: {stated}"
