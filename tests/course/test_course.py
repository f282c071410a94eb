"""The course, lesson one to eight in one folder: with the teacher's pieces to the board, with blanks to sentences."""
import importlib.util
import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from tinyvgg.kernels import reference
from tinyvgg.testing import exercises

COURSE = Path(__file__).resolve().parents[2] / "docs" / "course"
LESSONS = sorted(COURSE.glob("[1-9]-*.ipynb"))
SMALL = {"train": 300, "test": 40, "epochs": 2, "attacked": 10}
PIECES = re.findall(r"(?m)^def (\w+)\(", (COURSE / "mine.py").read_text(encoding="utf-8"))


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder as a student has it, the current one; chain.py with small sizes."""
    for name in ("chain.py", "board_app.c", "mine.py"):
        shutil.copy(COURSE / name, tmp_path)
    for name in ("TINYVGG_PIECES", "TINYVGG_COURSE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    spec = importlib.util.spec_from_file_location("chain", tmp_path / "chain.py")
    chain = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "chain", chain)
    spec.loader.exec_module(chain)
    chain.SIZES.update(SMALL)
    exercises._registry.WRONG.clear()
    exercises.pieces.__globals__["RIGHT"].clear()
    return tmp_path


def cells(path):
    """(source, tags) of each code cell."""
    return [("".join(cell["source"]), cell["metadata"].get("tags", [])) for cell in json.loads(path.read_text("utf-8"))["cells"]
            if cell["cell_type"] == "code"]


def test_eight_lessons_have_time_aims_pieces_questions_and_slides():
    assert len(LESSONS) == 8
    index = (COURSE / "index.md").read_text(encoding="utf-8")
    for number, path in enumerate(LESSONS, 1):
        notebook = json.loads(path.read_text(encoding="utf-8"))
        text = "\n".join("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "markdown")
        minutes = re.search(r"\*\*Time\*\* (\d+) minutes", text)[1]
        assert text.startswith(f"# Lesson {number}. ") and "**Aims**" in text and "**You build**" in text
        assert len(re.findall(r"(?m)^\d\. ", text.split("## Questions")[1])) == 3
        assert re.search(rf"\| {number} \| {minutes} \|.*\({path.name}\)", index), path.name
        assert sum(cell["metadata"]["slideshow"]["slide_type"] == "slide" for cell in notebook["cells"]) >= 4
        assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in notebook["cells"])
        assert all("raises-exception" in tags for source, tags in cells(path) if "exercises." in source)
    asked = {name for path in LESSONS for source, _ in cells(path) for name in re.findall(r'exercises\.check\("(\w+)"', source)}
    assert asked == set(PIECES) <= set(exercises.EXERCISES)


def test_the_blank_file_gets_sentences_and_run_all_goes_on(place):
    said = []
    for path in LESSONS:
        names = {}
        for source, _ in cells(path):
            try:
                exec(compile(source, path.name, "exec"), names)
            except exercises.NotYetRight as error:
                said.append(str(error))
    assert len(said) >= 20 and all("\n" not in text and re.fullmatch(r"\w+: .+ fill in the blank", text) for text in said), said


def test_a_file_of_pieces_that_cannot_be_read_gets_a_sentence(place):
    for text, sentence in (("def f(:\n", r"mine.py cannot be read: invalid syntax \(line 1\)"), (None, "mine.py is not there: copy"),
                           ("1 / 0\n", "mine.py stopped when it was read: ZeroDivisionError: division by zero")):
        Path("mine.py").unlink(missing_ok=True)
        if text is not None:
            Path("mine.py").write_text(text)
        with pytest.raises(exercises.NotYetRight, match=sentence):
            exercises.pieces()
    Path("mine.py").write_text("")
    with pytest.raises(exercises.NotYetRight, match="^conv_forward: nothing was returned: fill in the blank$"):
        exercises.check("conv_forward", exercises.pieces().conv_forward)


def test_lessons_ask_for_what_lessons_before_them_leave(place):
    shutil.copy(COURSE / "teacher" / "mine.py", "mine.py")
    chain = sys.modules["chain"]
    for step, missing in ((chain.fold, "normed.npz is not there yet: lesson 4"), (chain.attack, "net.npz .*: lesson 4"),
                          (chain.write_c, "integer.npz .*: lesson 6")):
        with pytest.raises(exercises.NotYetRight, match=missing):
            step(exercises.pieces())


def library_logits(integer, layers, q):
    """The integer network by the library's convolution, the border byte and all in int64."""
    x = q.astype(np.int64)
    for layer, (*_, s) in zip(integer, layers, strict=True):
        kernel = layer["kernel"].astype(np.float64)
        sums = reference.conv2d((x - layer["zero"]).astype(np.float64), kernel, layer["bias"], strides=(s, s))
        x = np.clip((sums.astype(np.int64) * layer["multiplier"] + (1 << 31)) >> 32, layer["low"], layer["high"])
    return x.reshape(len(x), 10)


def test_from_lesson_one_to_the_board_by_the_teachers_pieces(place, capsys):
    """The student's network answers on the virtual board by the student's C."""
    for package in ("unicorn", "ziglang"):
        pytest.importorskip(package, reason="the board's cells need the extra board")
    shutil.copy(COURSE / "teacher" / "mine.py", "mine.py")
    chain, names = sys.modules["chain"], {}
    for path in LESSONS:
        names = {}
        for source, _ in cells(path):
            exec(compile(source, path.name, "exec"), names)
    said = capsys.readouterr().out
    assert re.findall(r"(\w+): right", said) == PIECES and "harmed layers: [2]" in said
    assert f"equal byte for byte: {SMALL['test']} of {SMALL['test']}" in said
    mine, x = exercises.pieces(), chain.data()[2]
    integer = chain.load("integer.npz")
    expected = library_logits(integer, chain.LAYERS, x)
    assert len(np.unique(expected.argmax(axis=1))) > 2 and np.array_equal(expected, chain.run_c(mine, x))
    assert mine.convolution_c().strip() in Path("network.c").read_text() and Path("student.elf").is_file()
    assert np.array_equal(names["answers"], expected[:3].argmax(axis=1)) and "the board: [" in said.splitlines()[-1]


def test_c_that_crashes_or_never_ends_gets_a_sentence(monkeypatch):
    head = "#include <stdint.h>\nvoid convolution(const uint8_t *x, int h, int w, int c, int zero, const int8_t *kernel, " \
           "const int32_t *bias, int k, int s, int f, int32_t *sums) {"
    monkeypatch.setattr(exercises.COURSE, "SECONDS", 0.5)
    for body, sentence in (("for (;;) sums[0] = sums[0] + x[0];", "did not end within 0.5 seconds"),
                           ("*(volatile int *)0 = 1;", "crashed"),
                           ("sums[-1] = 7;", "wrote outside of sums"), ("sums[0] = ;", "the compiler refused the C: answer.c:3")):
        with pytest.raises(exercises.NotYetRight, match=sentence) as caught:
            exercises.check("convolution_c", lambda body=body: f"{head}\n{body} }}", hints=0)
        assert "\n" not in str(caught.value)
    with pytest.raises(exercises.NotYetRight, match="the C has no function of the name convolution"):
        exercises.check("convolution_c", lambda: "int other;\n", hints=0)
