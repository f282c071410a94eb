"""C of another network of the same name is not written over; the same network by another plan is."""
import numpy as np
import pytest

from tests.quant.networks import small
from tinyvgg.cli import main
from tinyvgg.quant import quantize


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    x = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    for seed in (1, 2):
        (folder / str(seed)).mkdir()
        quantize(small(seed=seed), x).save(folder / str(seed) / "net.tvq")
    return folder


@pytest.mark.parametrize(("verb", "header"), [("codegen", "net.h"), ("firmware export", "network_tinyvgg.h")])
def test_another_network_is_not_lost(models, tmp_path, capsys, verb, header):
    def write(seed, plan):
        return main([*verb.split(), str(models / str(seed) / "net.tvq"), "--out", str(tmp_path), "--plan", plan, "--quiet"])
    assert write(1, "direct") == 0 and write(1, "auto") == 0
    before = (tmp_path / header).read_bytes()
    assert write(2, "direct") == 2 and (tmp_path / header).read_bytes() == before
    said = capsys.readouterr().err
    assert "is the C of another network" in said and "another --name" in said and "Traceback" not in said
    (tmp_path / header).unlink()
    assert write(2, "direct") == 0
