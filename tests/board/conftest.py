"""Fixtures: the demonstration firmware, built once."""
import pytest


@pytest.fixture(scope="session")
def demonstration(tmp_path_factory):
    """The Image of the demonstration firmware, built with zig (with memory access)."""
    pytest.importorskip("ziglang")
    pytest.importorskip("unicorn")
    from tinyvgg.firmware.build import build_demonstration
    return build_demonstration(tmp_path_factory.mktemp("firmware") / "demonstration", memory_access=True)


@pytest.fixture
def url(demonstration):
    """The URL of a virtual board with the demonstration firmware."""
    return f"virtual:{demonstration.elf}"
