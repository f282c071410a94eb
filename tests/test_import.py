"""What importing the library does to the process around it."""
import os
from pathlib import Path

import tinyvgg


def test_numba_gets_a_folder_where_it_may_write_nowhere(monkeypatch):
    """A read-only installation and no home: Numba would refuse to compile."""
    removed = []
    monkeypatch.setattr(tinyvgg._atexit, "register", lambda *call, **settings: removed.append(call[1]))
    monkeypatch.setenv("NUMBA_CACHE_DIR", "")                   # so that what stood there comes back in the end
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    tinyvgg._give_numba_a_folder()
    assert "NUMBA_CACHE_DIR" not in os.environ and not removed
    monkeypatch.setattr(os, "access", lambda folder, mode: False)
    tinyvgg._give_numba_a_folder()
    folder = Path(os.environ["NUMBA_CACHE_DIR"])
    assert folder.is_dir() and removed == [str(folder)]
    folder.rmdir()
    monkeypatch.setenv("NUMBA_CACHE_DIR", "mine")
    tinyvgg._give_numba_a_folder()
    assert os.environ["NUMBA_CACHE_DIR"] == "mine"


def test_every_module_of_the_contract_is_an_attribute(monkeypatch):
    """Also before something else has imported it."""
    for name in ("classifier", "images", "types"):
        monkeypatch.delattr(tinyvgg, name, raising=False)
        assert getattr(tinyvgg, name).__name__ == f"tinyvgg.{name}"
