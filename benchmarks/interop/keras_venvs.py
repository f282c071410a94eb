"""The two environments that have Keras: made if they are not there, about 3 GB."""
import json
import subprocess
import sys
from pathlib import Path

PACKAGES = {"2": ["tensorflow-cpu==2.15.1", "keras==2.15.0"], "3": ["tensorflow-cpu==2.20.0"]}


def environment(folder, version):
    """Return the Python of the environment for a Keras version ("2", "3") in `folder`, made if it is not there."""
    python = folder / f"venv-keras{version}" / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", python.parents[1]], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *PACKAGES[version]], check=True)
    return python


def ask(python, script, tasks):
    """Return what a script beside this one answers to tasks in an environment: plain data, on its last line."""
    result = subprocess.run([python, Path(__file__).with_name(script)], input=json.dumps(tasks), capture_output=True, text=True)
    if result.returncode:
        raise SystemExit(f"{python} stopped: {result.stderr[-2000:]}")
    return json.loads(result.stdout.splitlines()[-1])
