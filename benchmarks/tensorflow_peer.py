"""TensorFlow's side of train_step.py, in a process of its own: one timed call for each line that comes in.

    python benchmarks/tensorflow_peer.py MODEL.h5 train|infer BATCH THREADS
"""
import sys
import time

import numpy as np
import tensorflow as tf


def main():
    path, work, batch, threads = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    model = tf.keras.models.load_model(path, compile=False)
    model.compile(tf.keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy")
    rng = np.random.default_rng(0)
    x, y = rng.random((batch, *model.input_shape[1:]), dtype=np.float32), rng.integers(0, 10, batch)
    x, y = tf.constant(x), tf.constant(y)
    predict = tf.function(lambda images: model(images, training=False))

    def call():
        if work == "train":
            model.train_on_batch(x, y)
        else:
            predict(x).numpy()
    for _ in range(3):
        call()
    print(tf.__version__, flush=True)
    for _ in sys.stdin:
        call()
        start = time.perf_counter()
        call()
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main()
