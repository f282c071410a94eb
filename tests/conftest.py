"""The order of the files: those that take long come first, so that the processes of `-n 2 --dist loadfile` end together.

pytest-xdist would begin with the files that have the most tests, and end with a single long one while the other process waits.
"""
LONG = ("docs/test_snippets.py", "demo/test_demo.py", "io/test_keras_fixtures.py", "firmware/test_plan.py", "notebooks/test_notebooks.py",
        "codegen/test_generated.py", "spine/test_board.py", "docs/test_sphinx.py", "spine/test_cli.py", "codegen/test_variants.py",
        "quant/test_definition.py", "train/test_fit.py", "kernels/test_threads.py", "faults/test_search.py", "cli/test_training_verbs.py",
        "zoo/test_zoo.py", "attacks/test_attack_verb.py", "board/test_answers.py", "cli/test_main.py", "io/test_keras_fuzz.py",
        "quant/test_fast.py", "nn/test_layers.py", "docs/test_commands.py", "test_packaging.py", "test_checks.py", "test_types.py")
PLACES = {f"tests/{name}": i for i, name in enumerate(LONG)}


def pytest_configure(config):
    if hasattr(config.option, "loadscopereorder"):      # pytest-xdist is there
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: PLACES.get(item.nodeid.split("::")[0], len(PLACES)))
