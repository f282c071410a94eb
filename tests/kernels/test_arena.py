"""Memory for plans: zeros, in large pages where the system has them."""
import mmap
import multiprocessing
import os
import sys

import numpy as np
import pytest

from tinyvgg.kernels.fast import arena
from tinyvgg.kernels.fast.arena import LARGE_PAGE, zeros


@pytest.mark.parametrize("size", [0, 1, LARGE_PAGE // 4 - 1, LARGE_PAGE // 4, LARGE_PAGE + 5])
def test_zeros_that_can_be_written(size):
    block = zeros(size)
    assert block.shape == (size,) and block.dtype == np.float32 and block.flags.c_contiguous and not block.any()
    block[:] = 1
    assert block.sum(dtype=np.float64) == size


@pytest.mark.skipif(not hasattr(mmap, "MADV_HUGEPAGE"), reason="this system has no large pages")
def test_many_zeros_begin_at_a_large_page():
    assert zeros(LARGE_PAGE // 4).ctypes.data % LARGE_PAGE == 0


@pytest.mark.skipif(not hasattr(mmap, "MADV_HUGEPAGE"), reason="this system has no large pages")
@pytest.mark.parametrize("advice", [-1, None])
def test_a_system_without_large_pages(monkeypatch, advice):
    """Whether it refuses to be asked for them, or has no memory to map."""
    if advice:
        monkeypatch.setattr(arena.mmap, "MADV_HUGEPAGE", advice)
    else:
        monkeypatch.setattr(arena.mmap, "mmap", lambda *arguments, **named: os.close(-1))
    assert not zeros(LARGE_PAGE).any()


def test_more_than_there_is():
    with pytest.raises(MemoryError):
        zeros(1 << 55)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_child_writes_into_memory_of_its_own():
    block = zeros(LARGE_PAGE)
    child = multiprocessing.get_context("fork").Process(target=block.fill, args=(7,))
    child.start()
    child.join()
    assert child.exitcode == 0 and not block.any()
