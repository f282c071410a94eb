"""Messages: what came from a file is told by its beginning and its length."""
import pickle

from tinyvgg.errors import FormatError, OptionError


def test_long_values_are_cut():
    error = FormatError(f"m.json: the plan is for 'sram' in '{'9' * 5000}'", "a list: " + "[0, 1], " * 5000)
    assert "'" + "9" * 24 + "... (5,000 characters)'" in error.problem and len(error.problem) < 200
    assert len(error.hint) < 2000 and "(40,008 characters)" in error.hint
    again = pickle.loads(pickle.dumps(error))
    assert (again.problem, again.hint) == (error.problem, error.hint)


def test_a_problem_is_one_line():
    assert FormatError("version ['x' 'x'\n 'x'] of\nthe format", "two\nlines").args == ("version ['x' 'x' 'x'] of the format", "two\nlines")


def test_what_a_person_wrote_is_left_alone():
    path = "/home/somebody/" + "/".join(["a_folder_of_some_length"] * 20) + "/model.h5"
    said = f"{path} has SHA-256 {'ab' * 32}; expected {'cd' * 32}"
    assert OptionError(said, path).problem == said and OptionError(said, path).hint == path
