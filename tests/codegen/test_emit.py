"""Numbers, names and arrays as C reads them."""
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyvgg.codegen import emit
from tinyvgg.errors import OptionError


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_float_reads_back_as_itself(value):
    assert np.float32(emit.number(np.float32(value)).removesuffix("f")).tobytes() == np.float32(value).tobytes()


def test_array_text():
    assert emit.array_text("const int8_t a[3]", np.array([1, -127, 0], np.int8)) == "const int8_t a[3] = {\n    1, -127, 0\n};\n"
    assert "INT32_MIN" in emit.array_text("x", np.array([-2 ** 31], np.int32))
    long = emit.array_text("x", np.arange(1000, dtype=np.int32))
    assert max(map(len, long.split("\n"))) <= emit.LINE + 1
    with pytest.raises(OptionError, match="NaN"):
        emit.array_text("x", np.array([np.nan], np.float32))


@pytest.mark.parametrize("name", ["cifar-10", "", "1st", "int", "a b", "tv_net", "x" * 32, "naïve", "a;b"])
def test_bad_names(name):
    with pytest.raises(OptionError):
        emit.check_name(name)


def test_suggested_name_is_good():
    with pytest.raises(OptionError) as caught:
        emit.check_name("10-cifar net")
    assert emit.check_name(caught.value.hint.removeprefix("--name ")) == "n10_cifar_net"


def test_comment_cannot_end_early():
    assert "*/" not in emit.comment("a */ int x; /* b") and "\n" not in emit.comment("a\nb")
