"""OpenVINO's side of integer_speed.py, in a process of its own: the same network as integers, one timed call for each line read.

    python benchmarks/openvino_peer.py NETWORK.npz BATCH THREADS wall|cpu

Activations are u8 (FakeQuantize of 256 levels with our ranges), weights i8 with a scale a channel, which OpenVINO's passes turn
into integer convolutions; the first line printed says of each layer in which precision it really runs.
"""
import json
import sys
import time

import numpy as np
import openvino as ov
import openvino.opset13 as ops


def fake_quantised(x, low, high):
    low, high = (np.float32(v) for v in (low, high))
    return ops.fake_quantize(x, low, high, low, high, 256)


def weights(w, scale):
    column = scale.reshape(-1, *[1] * (w.ndim - 1)).astype(np.float32)
    return ops.multiply(ops.convert(ops.constant(w), "f32"), ops.constant(column))


def layer(x, about, arrays):
    """One convolution or dense layer, its bias, ReLU, scale and shift, pool, and the rounding of its result."""
    name, dense = about["name"], about["dense"]
    w, vector = arrays[f"{name}/weights"], [1, -1] if dense else [1, -1, 1, 1]
    if dense:
        if len(x.shape) == 4:           # as we have it: channels last, then a list
            x = ops.reshape(ops.transpose(x, [0, 2, 3, 1]), [x.shape[0], -1], False)
        x = ops.matmul(x, weights(w, arrays[f"{name}/scale"]), False, True)
    else:
        (top, bottom), (left, right) = about["padding"]
        kernel = weights(np.ascontiguousarray(w.transpose(0, 3, 1, 2)), arrays[f"{name}/scale"])
        x = ops.convolution(x, kernel, about["strides"], [top, left], [bottom, right], about["dilation"])
    x = ops.add(x, arrays[f"{name}/bias"].reshape(vector))
    x = ops.relu(x) if about["relu"] else x
    if about["affine"]:
        x = ops.add(ops.multiply(x, arrays[f"{name}/gain"].reshape(vector)), arrays[f"{name}/shift"].reshape(vector))
    if about["pool"]:
        ph, pw, sh, sw = about["pool"]
        x = ops.max_pool(x, [sh, sw], [1, 1], [0, 0], [0, 0], [ph, pw]).output(0)
    return fake_quantised(x, *about["range"]) if about["range"] else x


def main():
    path, batch, threads, clock = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    with np.load(path) as file:
        arrays = dict(file)
    about = json.loads(str(arrays["about"]))
    image = ops.parameter([batch, *about["shape"]], np.uint8)
    low, high = about["input_range"]
    x = ops.add(ops.multiply(ops.convert(image, "f32"), np.float32((high - low) / 255)), np.float32(low))
    x = fake_quantised(ops.transpose(x, [0, 3, 1, 2]), low, high)
    for one in about["layers"]:
        x = layer(x, one, arrays)
    model = ov.Core().compile_model(ov.Model([x], [image]), "CPU", {
        "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY"})
    kinds = [node.get_rt_info()["runtimePrecision"].astype(str) for node in model.get_runtime_model().get_ops()
             if node.get_rt_info()["layerType"].astype(str) in ("Convolution", "FullyConnected", "MatMul")]
    request, images = model.create_infer_request(), arrays["images"][:batch]
    logits = request.infer({0: images})[0]
    agreement = float((logits.argmax(1) == arrays["logits"][:batch].argmax(1)).mean())
    print(json.dumps({"version": ov.__version__, "precisions": kinds, "agreement": agreement}), flush=True)
    now = time.process_time if clock == "cpu" else time.perf_counter
    for _ in sys.stdin:
        request.infer({0: images})
        start = now()
        request.infer({0: images})
        print(now() - start, flush=True)


if __name__ == "__main__":
    main()
