"""The order of the files, and the cores that each process of pytest-xdist uses.

pytest-xdist would begin with the files that have the most tests, and end with a single long one while the other process waits: those
that take long come first, so that the processes of `-n 2 --dist loadfile` end together. In a fresh checkout the first of them compiles
the kernels; those of ALONGSIDE need few, and run meanwhile in the other process.

Each process imports every test file. pytest keeps its compiled form, so every second process reads the files of a folder from the last to
the first: each compiles half of them. Python's cyclic garbage is not looked for meanwhile: all of it stays to the end. Nothing waits for the
disk: no test cuts the power, and thousands of small files are written. The firmware's base is compiled once for all processes.
"""
import gc
import os
import shutil
import stat
import sys
import tempfile

import pytest

FIRST = ("docs/test_snippets.py",)
ALONGSIDE = ("codegen/test_generated.py", "docs/test_sphinx.py", "test_checks.py", "test_packaging.py",
             "docs/test_commands.py")
LONG = ("demo/test_demo.py", "spine/test_board.py", "kernels/test_threads.py", "codegen/test_variants.py", "zoo/test_zoo.py",
        "spine/test_export.py", "board/test_link.py", "firmware/test_plan.py", "board/test_answers.py",
        "attacks/test_attack_verb.py", "kernels/test_names.py", "faults/test_search.py", "quant/test_fast.py",
        "inputs/test_examples.py", "io/test_keras_fuzz.py", "notebooks/test_notebooks.py", "quant/test_definition.py",
        "codegen/test_host.py", "spine/test_cli.py", "board/test_boards.py", "quant/test_coded.py", "attacks/test_parallel.py",
        "inputs/test_verbs.py", "cli/test_training_verbs.py", "io/test_keras_fixtures.py", "train/test_adversarial.py",
        "firmware/test_guard.py", "faults/test_elf.py", "quant/test_codebooks.py", "firmware/test_build.py",
        "course/test_mini.py", "faults/test_trials.py", "train/test_fit.py", "codegen/test_guard.py", "board/test_cli.py",
        "testing/test_campaign.py", "firmware/test_mlperf.py", "faults/test_store.py", "cli/test_main.py",
        "kernels/test_other_processors.py", "spine/test_every_op.py", "attacks/test_nearest.py")
PLACES = {f"tests/{name}": i for i, name in enumerate(FIRST + ALONGSIDE + LONG)}


def pytest_configure(config):
    real = os.fsync
    os.fsync = lambda handle: None if stat.S_ISREG(os.fstat(handle).st_mode) else real(handle)
    if hasattr(config.option, "loadscopereorder"):      # pytest-xdist is there
        config.option.loadscopereorder = False
    if sys.dont_write_bytecode:             # Numba's files go to the same folders; else each command that a test starts compiles tinyvgg anew
        sys.dont_write_bytecode = False
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    if not hasattr(config, "workerinput") and "TINYVGG_BUILD_CACHE" not in os.environ:
        # By this name, what a run leaves that is killed is removed a day later (codegen.host.remove_old).
        folder = os.environ["TINYVGG_BUILD_CACHE"] = tempfile.mkdtemp(prefix="tinyvgg-host-tests-")
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    if hasattr(config, "workerinput"):
        os.environ["OPENBLAS_NUM_THREADS"] = "1"        # before NumPy is imported: a second thread would wait for the other process' core
        os.environ.setdefault("TINYVGG_NUM_THREADS", "2")


def pytest_sessionstart(session):
    """Kernels divide their work by two, and each process does the parts by its share of the cores: a thread that waits for another one
    keeps a core that the other process needs. Tests of what threads do take all cores (`cores.usable_cores`), and so does a run without -n.
    """
    if hasattr(session.config, "workerinput"):
        from tinyvgg.kernels.fast import threads
        share = max(1, threads.usable_cores() // session.config.workerinput["workercount"])
        threads.usable_cores = lambda: share


def pytest_collection():
    gc.disable()


def pytest_collection_finish():
    gc.freeze()
    gc.enable()


class Backwards(pytest.Dir):
    """A folder of tests whose last file comes first."""

    def collect(self):
        return list(super().collect())[::-1]


def pytest_collect_directory(path, parent):
    if os.environ.get("PYTEST_XDIST_WORKER", "gw0")[-1] in "13579" and not (path / "__init__.py").is_file():
        return Backwards.from_parent(parent, path=path)
    return None


def place(item):
    """Where an item's file comes, the same in every process."""
    file = item.nodeid.split("::")[0]
    return PLACES.get(file, len(PLACES)), file


def pytest_collection_modifyitems(items):
    items.sort(key=place)
