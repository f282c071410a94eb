"""A network of ours in ONNX Runtime, OpenVINO and torch.compile: the peers of train_step.py --peers, for chains of layers.

Each takes images as it likes them best, (N, C, H, W) float32, and returns logits without a copy of ours in between.
"""
import numpy as np

from tinyvgg.nn import layers
from tinyvgg.nn.fused.lowering import links


def onnx_model(model, batch):
    """The logits of a chain of ours as a model of ONNX, at a fixed batch."""
    from onnx import TensorProto, helper, numpy_helper
    nodes, arrays, value = [], [], "image"

    def array(name, values):
        arrays.append(numpy_helper.from_array(np.ascontiguousarray(values, np.float32), name))
        return name

    def add(kind, *inputs, **settings):
        nonlocal value
        result = f"v{len(nodes)}"
        nodes.append(helper.make_node(kind, [value, *inputs], [result], **settings))
        value = result
    for call in links(model):
        layer, name = call.layer, call.layer.name
        if isinstance(layer, layers.Conv2D):
            sides = [k // 2 for k in layer.kernel_size] if layer.padding == "same" else [0, 0]
            add("Conv", array(f"{name}/w", layer.parameters["kernel"].transpose(3, 2, 0, 1)), array(f"{name}/b", layer.parameters["bias"]),
                strides=list(layer.strides), pads=sides * 2)
        elif isinstance(layer, layers.BatchNormalization):
            add("BatchNormalization", *(array(f"{name}/{key}", holder[key]) for holder, key in (
                (layer.parameters, "gamma"), (layer.parameters, "beta"), (layer.state, "moving_mean"), (layer.state, "moving_variance"))),
                epsilon=layer.epsilon)
        elif isinstance(layer, layers.MaxPooling2D):
            add("MaxPool", kernel_shape=list(layer.pool_size), strides=list(layer.strides))
        elif isinstance(layer, layers.Flatten):
            add("Transpose", perm=[0, 2, 3, 1])
            add("Flatten", axis=1)
        elif isinstance(layer, layers.Dense):
            add("Gemm", array(f"{name}/w", layer.parameters["kernel"]), array(f"{name}/b", layer.parameters["bias"]))
        elif not isinstance(layer, layers.Activation | layers.Dropout | layers.SpatialDropout2D):
            raise TypeError(f"the peers have no {type(layer).__name__}")
        if layer.activation.name == "relu":
            add("Relu")
    h, w, c = model.input_shape
    graph = helper.make_graph(nodes, "network", [helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, c, h, w])],
                              [helper.make_tensor_value_info(value, TensorProto.FLOAT, [batch, model.n_outputs])], arrays)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def onnx_runtime(model, x, threads):
    """(name and version, function without arguments that returns logits)."""
    import onnxruntime as ort
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(onnx_model(model, len(x)).SerializeToString(), options, providers=["CPUExecutionProvider"])
    return f"onnxruntime {ort.__version__}", lambda: session.run(None, {"image": x})[0]


def openvino(model, x, threads):
    """The same of OpenVINO, in float32."""
    import openvino as ov
    compiled = ov.Core().compile_model(ov.Core().read_model(onnx_model(model, len(x)).SerializeToString()), "CPU", {
        "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"})
    request = compiled.create_infer_request()
    return f"openvino {ov.__version__.split('-')[0]}", lambda: request.infer({0: x})[0]


def torch_compiled(model, x, threads):
    """The same of torch.compile, which needs a C++ compiler."""
    import torch
    from torch_peer import Peer
    torch.set_num_threads(threads)
    net = torch.compile(Peer(model).eval())
    image = torch.from_numpy(x).contiguous(memory_format=torch.channels_last)

    def infer():
        with torch.inference_mode():
            return net(image).numpy()
    return f"torch.compile {torch.__version__}", infer


PEERS = onnx_runtime, openvino, torch_compiled
