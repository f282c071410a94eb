"""The six example networks (tinyvgg/testing/examples.py) in Keras 2.15 and 3: files written here, opened there, their answers compared.

    python benchmarks/interop/examples.py --folder venvs            # environments are made there, if they are not there (3 GB)

Prints the largest difference of each network's probabilities in each Keras; exit code 1 where one is above 1e-5.
"""
import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from keras_venvs import ask, environment

from tinyvgg.testing.examples import EXAMPLES

LARGEST = 1e-5


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path("venvs"), help="where the environments are (default venvs)")
    folder, worst = parser.parse_args().folder, 0.0
    with tempfile.TemporaryDirectory() as scratch:
        tasks = [write(example, Path(scratch)) for example in EXAMPLES.values()]
        for version in "23":
            for task, answer in zip(tasks, ask(environment(folder.absolute(), version), "keras_child.py", tasks), strict=True):
                if answer["difference"] is None:
                    raise SystemExit(f"Keras {answer['keras']}  {task['name']}: {answer['detail']}")
                worst = max(worst, answer["difference"])
                print(f"Keras {answer['keras']}  {task['name']:<10} {task['shape']}  largest difference {answer['difference']:.1e}")
    return int(worst > LARGEST)


def write(example, folder):
    """Train an example for an epoch, write its .h5, 32 inputs and our probabilities of them, and return the task to compare these."""
    model, (x, y) = example.network(), example.data(64)
    model.fit(x, y, epochs=1, quiet=True)
    file, vectors, pred = folder / f"{example.name}.h5", folder / f"{example.name}.npz", model.predict(x[:32])
    model.save(file)
    np.savez(vectors, x=x[:32], pred=pred)
    return {"task": "predict", "name": example.name, "shape": pred.shape, "file": str(file), "vectors": str(vectors), "compile": False,
            "absolute": True}


if __name__ == "__main__":
    sys.exit(main())
