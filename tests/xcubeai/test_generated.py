"""ST's codebooks and generated C, written here by an independent writer and read back to the bit."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyvgg.errors import FormatError
from tinyvgg.xcubeai import decode_lut, dense_kernel, lut_bytes, read_generated

spec = importlib.util.spec_from_file_location("samples", Path(__file__).with_name("samples.py"))
samples = importlib.util.module_from_spec(spec)
spec.loader.exec_module(samples)


@given(st.sampled_from([4, 8]), st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_codebooks_come_back(bits, items, seed):
    rng = np.random.default_rng(seed)
    codebook = np.sort(rng.standard_normal(2**bits)).astype(np.float32)
    indices = rng.integers(0, 2**bits, items)
    data = samples.pack_codebook(codebook, list(indices))
    assert len(data) == lut_bytes(items, bits)
    found = decode_lut(data, items, bits)
    assert np.array_equal(found.codebook, codebook) and np.array_equal(found.indices, indices)
    assert np.array_equal(found.values, codebook[indices])


def test_sizes_that_real_reports_print():
    assert lut_bytes(6400, 4) == 3264 and lut_bytes(720_896, 4) == 360_512 and lut_bytes(401_408, 8) == 402_432
    assert lut_bytes(524_288, 8) == 524_288 + 1_024


def test_first_weight_is_in_the_high_nibble_and_rows_are_outputs():
    codebook = np.arange(16, dtype="<f4")
    found = decode_lut(codebook.tobytes() + bytes([0x12, 0x34, 0x56]), 6, 4)
    assert list(found.values) == [1, 2, 3, 4, 5, 6]
    assert np.array_equal(dense_kernel(found.values, 3, 2), [[1, 4], [2, 5], [3, 6]])


@pytest.mark.parametrize(
    ("data", "items", "bits"),
    [
        (b"", 4, 4),
        (bytes(64), 10, 4),
        (np.float32([1, 0] * 8).tobytes() + bytes(9), 4, 4),
        (np.full(16, np.nan, "<f4").tobytes() + bytes(9), 4, 4),
        (bytes(2000), 0, 8),
        (bytes(2000), 4, 5),
    ],
)
def test_what_is_no_codebook_is_refused(data, items, bits):
    with pytest.raises(FormatError):
        decode_lut(data, items, bits)


def write_network(folder, rng):
    """A conv, a shared dense layer and its bias -> the values in ST's order."""
    conv, bias = rng.standard_normal(54).astype("<f4"), rng.standard_normal(6).astype("<f4")
    codebook, indices = np.sort(rng.standard_normal(16)).astype("<f4"), list(rng.integers(0, 16, 30))
    data = conv.tobytes() + bias.tobytes() + samples.pack_codebook(codebook, indices)
    tensors = [
        ("conv_weights", "FLOAT", 54, 0, 0),
        ("conv_bias", "FLOAT", 6, 216, 0),
        ("dense_weights", "LUT4_FLOAT", 30, 240, 64),
    ]
    (folder / "network_data_params.c").write_text(samples.c_array(data))
    (folder / "network.c").write_text(samples.legacy_network(tensors, macc=1234))
    return conv, bias, codebook, indices


@pytest.mark.parametrize("what", ["", "network.c", "network_data_params.c"])
def test_legacy_api(tmp_path, what):
    conv, bias, codebook, indices = write_network(tmp_path, np.random.default_rng(0))
    found = read_generated(tmp_path / what)
    assert list(found.tensors) == ["conv_weights", "conv_bias", "dense_weights"] and found.api == "legacy"
    assert found.macc == 1234 and found.signature == "00112233445566778899aabbccddeeff"
    assert np.array_equal(found.values("conv_weights"), conv) and np.array_equal(found.values("conv_bias"), bias)
    assert np.array_equal(found.codebook("dense_weights").indices, indices)
    assert np.array_equal(found.values("dense_weights"), codebook[indices])


def test_version_5_keeps_bytes_in_one_file(tmp_path):
    data = np.arange(6, dtype="<f4").tobytes()
    text = (
        "ai_handle ai_network_data_weights_get(void)\n{\n  AI_ALIGNED(4)\n  static const ai_u8 s_network_weights[ 24 ] = {\n    "
    )
    text += ", ".join(f"0x{b:02x}" for b in data) + "\n  };\n"
    (tmp_path / "network_data.c").write_text(text)
    (tmp_path / "network.c").write_text(
        "AI_ARRAY_OBJ_DECLARE(\n    d_weights_array, AI_ARRAY_FORMAT_FLOAT,\n    NULL, NULL, 6,\n     AI_STATIC)\n"
        "    d_weights_array.data = AI_PTR(weights + 0);\n    d_weights_array.data_start = AI_PTR(weights + 0);\n"
    )
    assert list(read_generated(tmp_path).values("d_weights")) == [0, 1, 2, 3, 4, 5]


def test_st_ai_api(tmp_path):
    weights, bias = np.arange(8, dtype="<f4"), np.float32([9, 10])
    (tmp_path / "network_data.c").write_text(
        samples.c_array(weights.tobytes() + bias.tobytes(), name="g_network_weights_array", kind="uint64_t").replace(
            "AI_ALIGNED(32)", "STAI_ALIGNED(8)"
        )
    )
    (tmp_path / "network.c").write_text(
        "STAI_API_ENTRY\n const ai_float* dense_0_t_weight_0_ptr_const_f32 = (ai_float*)(net_ctx->_weights[0] + 0);\n"
        " const ai_float* dense_0_t_weight_1_ptr_const_f32 = (ai_float*)(net_ctx->_weights[0] + 32);\n"
    )
    (tmp_path / "network.h").write_text("#define STAI_NETWORK_MACC_NUM  (77)\n#define STAI_NETWORK_WEIGHTS_SIZE_BYTES (40)\n")
    found = read_generated(tmp_path)
    assert found.api == "st-ai" and found.macc == 77
    assert list(found.values("dense_0_weights")) == list(range(8)) and list(found.values("dense_0_bias")) == [9, 10]


def test_st_ai_api_with_objects(tmp_path):
    """Where st-ai has no light kernel, it keeps the legacy objects and places them before each call."""
    (tmp_path / "network_data.c").write_text(samples.c_array(np.arange(4, dtype="<f4").tobytes(), name="g_network_weights_array"))
    (tmp_path / "network.c").write_text(
        "STAI_API_ENTRY\nAI_ARRAY_OBJ_DECLARE(\n  gemm_8_weights_array, AI_ARRAY_FORMAT_FLOAT,\n  NULL, NULL, 3, AI_STATIC)\n"
        "  gemm_8_weights_array.data = AI_PTR(net_ctx->_weights[0] + 4);\n"
        "  gemm_8_weights_array.data_start = AI_PTR(net_ctx->_weights[0] + 4);\n"
        "  pool_7_output_array.data = AI_PTR(net_ctx->_activations[0] + 0);\n"
    )
    found = read_generated(tmp_path)
    assert list(found.tensors) == ["gemm_8_weights"] and list(found.values("gemm_8_weights")) == [1, 2, 3]


def test_a_cut_file_is_named(tmp_path):
    write_network(tmp_path, np.random.default_rng(0))
    text = (tmp_path / "network_data_params.c").read_text()
    (tmp_path / "network_data_params.c").write_text(text[: len(text) * 2 // 3])
    found = read_generated(tmp_path)
    assert any("cut" in note for note in found.notes)
    with pytest.raises(FormatError):
        found.values("dense_weights")


def test_no_weights(tmp_path):
    (tmp_path / "main.c").write_text("int main(void) { return 0; }\n")
    with pytest.raises(FormatError):
        read_generated(tmp_path)
