"""ST's validation metrics, recomputed from its own arrays."""

import io
import zipfile

import numpy as np
import pytest

from tinyvgg.errors import DataError, FormatError, ShapeError
from tinyvgg.xcubeai import read_report, read_validation, standard_inputs, validation_metrics


def test_metrics_of_a_real_validation(real_reports):
    arrays = read_validation(real_reports / "v10.2_resnet_v1_32_validate__network_val_io.npz")
    found = validation_metrics(arrays["m_outputs_1"], arrays["c_outputs_1"])
    stated = read_report(real_reports / "v10.2_resnet_v1_32_validate__network_c_info.json").metrics[0]
    for name in ("rmse", "mae", "l2r", "mean", "std", "nse"):
        assert found[name] == pytest.approx(stated[name], rel=1e-6), name
    assert found["acc"] == 1 and found["cos"] == pytest.approx(1)
    assert np.array_equal(arrays["m_inputs_1"], standard_inputs((32, 32, 3)))


def test_metrics_by_hand():
    found = validation_metrics([[1.0, 0.0], [0.0, 3.0]], [[0.0, 1.0], [0.0, 3.0]])
    assert found["acc"] == 0.5 and found["mae"] == 0.5 and found["mean"] == 0
    assert found["rmse"] == pytest.approx(np.sqrt(0.5)) and found["std"] == pytest.approx(np.sqrt(2 / 3))
    assert found["l2r"] == pytest.approx(np.sqrt(2) / np.sqrt(10), rel=1e-6) and found["nse"] == pytest.approx(1 - 2 / 6)


def test_shapes_must_agree():
    with pytest.raises(ShapeError):
        validation_metrics(np.zeros((2, 3)), np.zeros((2, 4)))


def test_bad_archives(tmp_path):
    path = tmp_path / "network_val_io.npz"
    with pytest.raises(DataError):
        read_validation(tmp_path)
    path.write_bytes(b"PK\x03\x04 not an archive")
    with pytest.raises(FormatError):
        read_validation(path)
    buffer = io.BytesIO()
    np.save(buffer, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m_outputs_1.npy", buffer.getvalue())
    with pytest.raises(FormatError):
        read_validation(path)
