"""Where real reports lie, if they do: they belong to others and are never part of this repository."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def real_reports():
    """The folder of real reports, or a skip that says how to get one."""
    shared = Path(os.environ.get("TINYVGG_SHARED", ROOT.parent / "shared"))
    if not (shared / "xcubeai").is_dir():
        pytest.skip("no real reports of X-CUBE-AI here: set TINYVGG_SHARED to a folder that holds xcubeai/")
    return shared / "xcubeai"


@pytest.fixture(scope="session")
def cases():
    """The folder of reports that were once read wrongly, or a skip."""
    shared = Path(os.environ.get("TINYVGG_SHARED", ROOT.parent / "shared"))
    if not (shared / "cases" / "xcubeai").is_dir():
        pytest.skip("no reports that were once read wrongly here: set TINYVGG_SHARED to a folder that holds cases/xcubeai/")
    return shared / "cases" / "xcubeai"
