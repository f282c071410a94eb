"""Read the files of ST's X-CUBE-AI and compare them with tinyvgg's own numbers."""

from tinyvgg.analyze.st import lut_bytes
from tinyvgg.xcubeai.crosscheck import CrossCheck, crosscheck
from tinyvgg.xcubeai.csource import Generated, StoredTensor, read_generated
from tinyvgg.xcubeai.lut import Codebook, decode_lut, dense_kernel
from tinyvgg.xcubeai.read import find_report, read_report
from tinyvgg.xcubeai.report import Report
from tinyvgg.xcubeai.validation import read_validation, standard_inputs, validation_metrics

__all__ = [
    "CrossCheck",
    "crosscheck",
    "Codebook",
    "Generated",
    "Report",
    "StoredTensor",
    "decode_lut",
    "dense_kernel",
    "find_report",
    "lut_bytes",
    "read_generated",
    "read_report",
    "read_validation",
    "standard_inputs",
    "validation_metrics",
]
