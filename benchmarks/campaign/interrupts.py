"""Ctrl-C at random moments while kernels run on several threads, caught as a notebook does; then the next call must be right.

A child process is interrupted by a timer whose handler is the interpreter's own of SIGINT: in answers, input gradients and training
steps, by turns. It prints a line for each interrupt; silence for PATIENCE seconds is a hang.
"""
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PATIENCE, START = 90, 900    # seconds, for a busy machine; to compile the kernels before the first interrupt

CHILD = """
import json, random, signal, sys, time
import numpy as np
from tinyvgg import models, nn
from tinyvgg.nn import layers as L
count, seed = int(sys.argv[1]), int(sys.argv[2])
draw, generator = random.Random(seed), np.random.default_rng(seed)
models_ = [models.resnet8(seed=1), nn.Sequential([L.InputLayer((9, 7, 3)), L.Conv2D(16, 3, padding="same"), L.BatchNormalization(), L.ReLU(),
           L.MaxPooling2D(), L.Flatten(), L.Dropout(0.3), L.Dense(10)], seed=2)]
jobs = []
for model in models_:
    x = generator.random((2, *model.input_shape), dtype=np.float32)
    g = generator.standard_normal((2, 10)).astype(np.float32)
    def reset(m=model):
        for layer in m.layers:
            if isinstance(layer, L.Dropout):
                layer.rng = np.random.default_rng(0)
            for name in layer.state:
                layer.state[name][...] = 0.5
        return m
    def step(reset=reset, x=x, g=g):
        m = reset()
        y = m.forward_logits(x, training=True)
        m.backward_logits(g)
        return np.concatenate([y.ravel(), *(layer.gradients[k].ravel() for layer in m.layers for k in layer.parameters)])
    jobs += [lambda reset=reset, x=x: reset().logits(x), lambda reset=reset, x=x, g=g: reset().vjp(x, g), step]
expected = [job() for job in jobs]
handler = signal.default_int_handler
signal.signal(signal.SIGALRM, handler)
calls = wrong = 0
print(json.dumps({"interrupts": 0}), flush=True)
for k in range(count):
    which = draw.randrange(len(jobs))
    fresh = draw.random() < 0.05                    # at times in the making of a plan, too
    try:
        if fresh:
            import tinyvgg.nn.plan as plan
            plan._plans.__dict__.clear()
        signal.setitimer(signal.ITIMER_REAL, draw.choice((2e-4, 2e-3, 2e-2)) * (0.05 + draw.random()))
        while True:
            calls += 1
            wrong += not np.array_equal(jobs[which](), expected[which])
            if draw.random() < 0.3:
                time.sleep(draw.random() * 2e-3)    # workers fall asleep
            if signal.getitimer(signal.ITIMER_REAL)[0] == 0:        # the interrupt came where Python cannot raise it
                signal.setitimer(signal.ITIMER_REAL, 1e-3)
    except KeyboardInterrupt:
        signal.setitimer(signal.ITIMER_REAL, 0)
    calls += 1
    wrong += not np.array_equal(jobs[which](), expected[which])
    print(json.dumps({"interrupts": k + 1, "calls": calls, "wrong": int(wrong)}), flush=True)
"""


def interrupted(count, threads, seed=0):
    """Interrupt `count` times -> {"interrupts", "calls", "wrong", "hangs"}; wrong are answers unlike those of an undisturbed call."""
    environment = {**os.environ, "TINYVGG_NUM_THREADS": str(threads), "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-c", CHILD, str(count), str(seed)], cwd=ROOT, env=environment, stdout=subprocess.PIPE,
                               text=True)
    row = {"interrupts": 0, "calls": 0, "wrong": 0, "hangs": 0}
    patience = START
    while True:
        timer = threading.Timer(patience, process.kill)
        timer.start()
        line = process.stdout.readline()
        timer.cancel()
        if not line:
            break
        row.update(json.loads(line))
        patience = PATIENCE
    process.wait()
    return row | {"hangs": int(process.returncode == -9)} if process.returncode in (0, -9) else row | {"crash": process.returncode}
