"""Load a .tflite file as a float or integer model; everything that is not understood is reported together."""
from tinyvgg.errors import FormatError, NotYet, OptionError
from tinyvgg.io.tflite.dilated import joined
from tinyvgg.io.tflite.read import CONTROL, read
from tinyvgg.quant.rounding import ROUNDINGS

INTEGERS = ("int8", "uint8")
SHAPES = ("SHAPE", "STRIDED_SLICE", "PACK")     # they compute the target of a RESHAPE, which the tensors' shapes say already


def load_model(path, *, rounding="double"):
    """Return the model in a .tflite file: an nn.Model if it computes in floats, a QuantizedModel if in int8 or uint8.

    rounding: of integers, "double" as in TensorFlow Lite's default build, or "single" as with TFLITE_SINGLE_ROUNDING; files do
    not tell it. FormatError for a damaged file; NotYet lists everything that this library lacks, with names of tensors;
    OptionError for another rounding.
    """
    if rounding not in ROUNDINGS:
        raise OptionError(f"the rounding is {rounding!r}; expected {' or '.join(ROUNDINGS)}")
    contents = read(path)
    try:
        return _model(contents, rounding)
    except (NotYet, FormatError) as error:
        raise type(error)(f"{path}: {error.problem}", error.hint) from error


def _model(contents, rounding):
    from tinyvgg.io.tflite import floats, integers, wide
    steps = joined([op for op in contents.operators if not _of_shapes(op)])
    _check(steps, floats.RULES | integers.RULES)
    if len(contents.inputs) != 1 or len(contents.outputs) != 1:
        raise NotYet(f"it has {len(contents.inputs)} inputs and {len(contents.outputs)} outputs; expected one of each")
    body, head = wide.split(steps)
    if head and (not body or _kind(body) == "integer"):
        _check(body, integers.RULES)
        return integers.build(contents, body, head, rounding)
    whole = _kind(steps) == "integer"
    _check(steps, (integers if whole else floats).RULES)
    return integers.build(contents, steps, rounding=rounding) if whole else floats.build(contents, steps)


def _of_shapes(op):
    """Whether an operator works on shapes, not on values."""
    return op.kind in SHAPES and all(t.dtype in ("int32", "int64") for t in op.outputs)


def _kind(steps):
    """ "float" or "integer", by the values between operators."""
    values = {t.dtype for op in steps for t in op.outputs if op.kind not in ("QUANTIZE", "DEQUANTIZE")}
    values = values or {t.dtype for op in steps for t in op.outputs if op.kind == "QUANTIZE"}
    if "int16" in values:
        raise NotYet("its activations are of 16 bits (int16x8); expected int8 or uint8",
                     "converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]")
    whole = sorted(values & set(INTEGERS))
    if whole and "float32" in values:
        mixed = next(op.outputs[0] for op in steps if op.outputs[0].dtype == "float32" and op.kind != "DEQUANTIZE")
        raise NotYet(f"it computes partly in floats ({mixed}) and partly in {whole[0]}; expected one of them throughout",
                     "a representative dataset and OpsSet.TFLITE_BUILTINS_INT8 in the converter")
    if len(whole) > 1:
        raise NotYet("its values are partly int8 and partly uint8; expected one of them between the first operator and the last")
    if whole:
        return "integer"
    if values <= {"float32"}:
        return "float"
    raise NotYet(f"it computes in {', '.join(sorted(values)) or 'nothing'}; expected float32, int8 or uint8")


def _check(steps, rules):
    """Raise NotYet with every operator that has no rule, and the tensor that it writes."""
    lacking = [op for op in steps if op.kind not in rules]
    control = [op for op in lacking if op.kind in CONTROL]
    others = [op for op in lacking if op.kind not in CONTROL]
    if lacking:
        what = ([f"control flow: {_listed(control)}"] if control else []) + ([_listed(others)] if others else [])
        raise NotYet(f"it has {' and '.join(what)}, which this library has not",
                     f"a network of {', '.join(sorted(k for k in rules if k != 'DEQUANTIZE'))}")


def _listed(ops):
    found = {}
    for op in ops:
        found.setdefault(op.kind, []).append(str(op.outputs[0]) if op.outputs else "no tensor")
    return ", ".join(f"{kind} ({', '.join(names[:4])}{f' and {len(names) - 4} more' if len(names) > 4 else ''})"
                     for kind, names in found.items())
