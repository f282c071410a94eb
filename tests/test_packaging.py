"""The wheel holds what the checkout has, and works away from it."""
import importlib.util
import re
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
KINDS = {".py", ".toml", ".h5", ".c", ".h", ".s", ".S", ".ld", ".in", ".typed"}


def run(*command, cwd):
    done = subprocess.run([str(c) for c in command], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built with setuptools of this environment where it has what that needs: a new one was made for it at the installation."""
    folder = tmp_path_factory.mktemp("wheel")
    own = ["--no-build-isolation"] if all(map(importlib.util.find_spec, ("setuptools", "wheel"))) else []
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", *own, "-w", folder, ROOT, cwd=folder)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def clean(wheel, tmp_path_factory):
    """Python of a new environment that holds the wheel; the four packages come from where this one has them."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder, with_pip=False, symlinks=sys.platform != "win32")
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])", cwd=folder).strip())
    run(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-compile", "--target", site, wheel, cwd=folder)
    places = {str(Path(importlib.util.find_spec(name).origin).parents[1]) for name in ("numpy", "numba", "llvmlite", "h5py", "serial")}
    (site / "rest.pth").write_text("\n".join(sorted(places)) + "\n")
    return python


def test_wheel_holds_the_tree(wheel):
    names = {n for n in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in n}
    tracked = run("git", "ls-files", "tinyvgg", "codegen", "firmware", cwd=ROOT).split() if (ROOT / ".git").exists() else []
    wanted = {n if n.startswith("tinyvgg/") else f"tinyvgg/{n}" for n in tracked if Path(n).suffix in KINDS}
    left_out = {n for n in wanted if n.endswith(("_nfgsm.h5", "_plain.h5", "_taught.h5"))}       # see zoo.path
    assert wanted - left_out <= names, f"missing from the wheel: {sorted(wanted - left_out - names)}"
    assert not left_out & names and wheel.stat().st_size < 13e6
    assert not [n for n in names if "__pycache__" in n or n.endswith((".elf", ".o", ".pyc"))]


def test_the_page_on_pypi(wheel):
    """The README without links that lead nowhere there and without our marks; what a search finds."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA")]
        head, text = archive.read(name).decode().split("\n\n", 1)
    assert "Description-Content-Type: text/markdown" in head and "Keywords: tinyml" in head and head.count("\nClassifier: ") > 8
    assert all(re.match("https?:|#", link) for link in re.findall(r"\]\(([^)]+)\)", text)) and "<!--" not in text
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [line for line in readme.splitlines() if line.startswith("#")] == [line for line in text.splitlines() if line.startswith("#")]


def test_wheel_runs_away_from_the_checkout(clean, tmp_path):
    place = run(clean, "-c",
                "import tinyvgg, tinyvgg.codegen, tinyvgg.firmware; print(tinyvgg.__file__, tinyvgg.codegen.__file__)",
                cwd=tmp_path)
    assert str(ROOT / "tinyvgg") not in place and str(ROOT / "codegen") not in place
    assert "train" in run(clean, "-m", "tinyvgg", "--help", cwd=tmp_path)
    assert "numba" in run(clean, "-m", "tinyvgg", "--version", cwd=tmp_path)


@pytest.mark.slow
def test_wheel_trains(clean, tmp_path):
    run(clean, "-m", "tinyvgg", "train", "--arch", "light", "--data", "shapes", "--epochs", "1", "--out", tmp_path / "run",
        "--quiet", cwd=tmp_path)
    assert (tmp_path / "run" / "history.csv").exists()
