"""Runs inside an environment with Keras: reads tasks as JSON from standard input, prints answers as the last line."""
import json
import os
import sys

sys.path.pop(0)                     # this folder, whose keras.py is not Keras
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras  # noqa: E402
import numpy as np  # noqa: E402


def predict(task):
    """The largest difference to the recorded predictions, of the largest prediction unless it is to be absolute."""
    vectors = np.load(task["vectors"])
    model = keras.models.load_model(task.get("built_from") or task["file"], compile=task["compile"])
    if task.get("built_from"):
        model.set_weights([0 * w for w in model.get_weights()])
        model.load_weights(task["file"])
    inputs = [vectors[k] for k in ("x", "b") if k in vectors.files]
    found = model.predict_on_batch(inputs if len(inputs) > 1 else inputs[0])
    found = found if isinstance(found, list) else [found]
    expected = [vectors[k] for k in ("pred", "cls", "reg") if k in vectors.files]
    return max(float(np.abs(f - e).max() / (1 if task.get("absolute") else np.abs(e).max())) for f, e in zip(found, expected)), ""


def resume(task):
    """The largest relative difference of losses, after checking that the slots came over bit for bit."""
    vectors = np.load(task["vectors"])
    model = keras.models.load_model(task["file"])
    variables = model.optimizer.variables() if callable(model.optimizer.variables) else model.optimizer.variables
    values = [np.asarray(v) for v in variables]
    slots = [v for v in values if v.shape]
    same = all(np.array_equal(a, vectors["slot%d" % i]) for i, a in enumerate(slots))
    if int(values[0]) != int(vectors["iterations"]) or not same or not slots:
        return None, "iteration %s, %d slots, equal: %s" % (values[0], len(slots), same)
    losses = []
    for x, y in zip(vectors["x"], vectors["y"]):
        model.reset_metrics()
        losses.append(float(np.ravel(model.train_on_batch(x, y))[0]))
    difference = max(abs(a - b) / abs(b) for a, b in zip(losses[:task["steps"]], vectors["losses"]))
    return difference, "iteration and %d slots equal bit for bit" % len(slots)


def main():
    answers = []
    for task in json.load(sys.stdin):
        try:
            difference, detail = {"predict": predict, "resume": resume}[task["task"]](task)
        except Exception as error:      # whatever Keras raises is the answer
            difference, detail = None, "%s: %s" % (type(error).__name__, " ".join(str(error).split())[:110])
        answers.append({"keras": keras.__version__, "difference": difference, "detail": detail})
    print("\n" + json.dumps(answers))


if __name__ == "__main__":
    main()
