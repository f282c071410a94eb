"""ST's stm_ai_runner, unchanged, against a port; run by stm_runner.py in an environment of its own. Prints one line of JSON.

usage: stm_runner_child.py FOLDER_OF_STM_AI_RUNNER PORT IMAGES.npy OUTPUTS.npy FEW
"""
import json
import sys

import numpy as np


def main(folder, port, images, outputs, few):
    sys.path.insert(0, folder)
    from stm_ai_runner import AiRunner
    runner = AiRunner()
    if not runner.connect(f"serial:{port}:115200"):
        print(json.dumps({"connected": False, "error": str(runner.get_error())}))
        return
    info, x, few = runner.get_info(), np.load(images), int(few)
    answers, profile = runner.invoke(x, disable_pb=True)
    np.save(outputs, answers[0].reshape(len(x), -1))
    layers = runner.invoke(x[:few], mode=AiRunner.Mode.PER_LAYER | AiRunner.Mode.PER_LAYER_WITH_DATA, disable_pb=True)
    only_times = runner.invoke(x[:few], mode=AiRunner.Mode.PERF_ONLY, disable_pb=True)[1]
    runner.disconnect()
    print(json.dumps({
        "connected": True, "names": runner.names or [info["name"]], "macc": info["macc"], "device": info["device"]["desc"],
        "tools": info["runtime"]["name"], "durations_ms": profile["c_durations"][:3],
        "layers": [node["name"] for node in layers[1]["c_nodes"]], "same_with_layers": bool(np.array_equal(
            layers[0][0].reshape(few, -1), answers[0].reshape(len(x), -1)[:few])),
        "times_only_ms": only_times["c_durations"]}))


if __name__ == "__main__":
    main(*sys.argv[1:])
