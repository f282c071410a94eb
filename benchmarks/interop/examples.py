"""The six example networks (tinyvgg/testing/examples.py) in Keras 2.15 and 3: files written here, opened there, their answers compared.

    python benchmarks/interop/examples.py --folder venvs            # environments are made there, if they are not there (3 GB)

Prints the largest difference of each network's probabilities in each Keras; exit code 1 where one is above 1e-5.
"""
import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from keras_venvs import environment

from tinyvgg.testing.examples import EXAMPLES

CHILD = """
import os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras, numpy as np
folder = sys.argv[1]
answers = {}
for name in sys.argv[2:]:
    x = np.load(f"{folder}/{name}.npy")
    answers[name] = keras.models.load_model(f"{folder}/{name}.h5", compile=False).predict(x, verbose=0)
np.savez(f"{folder}/answers.npz", version=keras.__version__, **answers)
"""
LARGEST = 1e-5


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path("venvs"), help="where the environments are (default venvs)")
    folder, worst = parser.parse_args().folder, 0.0
    with tempfile.TemporaryDirectory() as scratch:
        expected = {name: write(example, Path(scratch)) for name, example in EXAMPLES.items()}
        for version in "23":
            subprocess.run([environment(folder.absolute(), version), "-c", CHILD, scratch, *EXAMPLES], check=True)
            answers = np.load(Path(scratch) / "answers.npz")
            for name, y in expected.items():
                difference = float(np.abs(answers[name] - y).max())
                worst = max(worst, difference)
                print(f"Keras {answers['version']}  {name:<10} {y.shape}  largest difference {difference:.1e}")
    return int(worst > LARGEST)


def write(example, folder):
    """Train an example for an epoch, write its .h5 and 32 inputs, and return our probabilities of them."""
    model, (x, y) = example.network(), example.data(64)
    model.fit(x, y, epochs=1, quiet=True)
    model.save(folder / f"{example.name}.h5")
    np.save(folder / f"{example.name}.npy", x[:32])
    return model.predict(x[:32])


if __name__ == "__main__":
    sys.exit(main())
