"""Run by quantize.py where tensorflow is installed: FOLDER/model.h5 and images.npz -> answers.npz (scores, bytes of the file).

Full-integer int8, inputs and outputs int8, calibrated on the same images; reference kernels without delegates.
"""

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

folder = Path(sys.argv[1])
images = np.load(folder / "images.npz")
model = tf.keras.models.load_model(folder / "model.h5", compile=False)


def as_float(x):
    return x.astype(np.float32) / 255 if x.dtype == np.uint8 else x.astype(np.float32)


converter = tf.lite.TFLiteConverter.from_keras_model(model)
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.representative_dataset = lambda: ([as_float(image)[None]] for image in images["calibration"])
converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
converter.inference_input_type = converter.inference_output_type = tf.int8
flat = converter.convert()

kernels = tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
interpreter = tf.lite.Interpreter(model_content=flat, experimental_op_resolver_type=kernels)
entry, result = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
interpreter.allocate_tensors()
scale, zero = entry["quantization"]
scores = []
for image in images["test"]:
    q = np.clip(np.rint(as_float(image) / scale + zero), -128, 127).astype(np.int8)
    interpreter.set_tensor(entry["index"], q[None])
    interpreter.invoke()
    scores.append(interpreter.get_tensor(result["index"])[0].astype(np.int32))
np.savez(folder / "answers.npz", scores=np.array(scores), bytes=len(flat))
