"""UpSample2D: one kernel copies pixels of any dtype. It needs no struct, so it is declared next to its call."""
from tinyvgg.codegen.ops._common import kind_of
from tinyvgg.codegen.program import Step, emit
from tinyvgg.quant.ops.up_sample2d import UpSample2D


@emit.register
def _(op: UpSample2D, program):
    (h, w, _), (a, b) = program.input_shapes(op)[0], op.factors
    return Step(f"tv_up_sample2d({{x}}, {{y}}, {h}u, {w}u, {op.nbytes // (h * a * w * b)}u, {a}u, {b}u)", ("tv_up_sample2d",),
                "void tv_up_sample2d(const void *x, void *y, uint32_t height, uint32_t width, uint32_t pixel, uint32_t rows, "
                "uint32_t columns);", kind=kind_of(op), counts=op.counts())
