"""Generated C on this machine: compiled with an installed compiler and wrapped as a classifier."""
import contextlib
import ctypes
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinyvgg.classifier import as_classes, classes_of, labels_of
from tinyvgg.codegen.emit import identifier
from tinyvgg.codegen.generate import generate, graph_of, model_sha256
from tinyvgg.codegen.objects import objects
from tinyvgg.errors import BuildError, CheckFailed
from tinyvgg.images import byte_images, float_images
from tinyvgg.nn.head import apply_head
from tinyvgg.types import AnyArray, Floats, Images, Integers, Range, Shape

FOLDER = "tinyvgg-host-"
FLAGS = ("-std=c99", "-O3", "-ffp-contract=off")
KNOWN = ("-O", "-f", "-m", "-W")        # options that do not name a file
ROOM = 1 << 20              # bytes; a disk with less free space counts as full
STATUS = {1: "a pointer is NULL", 2: "an address is not a multiple of 4"}
_OBSERVER = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_void_p, ctypes.c_uint32)


class _Observer(ctypes.Structure):
    _fields_ = [("after", _OBSERVER), ("context", ctypes.c_void_p)]


def find_compiler(wanted="auto"):
    """Return the command of a C compiler for this machine: $CC, cc, gcc, clang, or zig from the extra `board`.

    wanted: "auto", "zig", or a command such as "gcc-13". Raises BuildError if there is none.
    """
    if wanted not in ("auto", "zig"):
        command = _words(wanted)
        if not command or not shutil.which(command[0]):
            raise BuildError(f"the compiler {(command or [wanted])[0]!r} was not found", 'pip install "tinyvgg[board]" brings one')
        return command
    if wanted == "auto":
        for name in (os.environ.get("CC"), "cc", "gcc", "clang"):
            command = _words(name or "")
            if command and shutil.which(command[0]):
                return command
    try:
        return zig_command()
    except ImportError as error:
        raise BuildError("no C compiler was found", 'pip install "tinyvgg[board]" brings one') from error


def zig_command():
    """Return the command of the C compiler in the extra `board`. Raises ImportError if it is not installed."""
    import ziglang
    if ziglang.__file__ is None:
        raise ImportError("a folder named ziglang is all that is left of it")
    program = Path(ziglang.__file__).with_name("zig.exe" if os.name == "nt" else "zig")     # saves an interpreter for each call
    return [str(program), "cc"] if program.is_file() else [sys.executable, "-m", "ziglang", "cc"]


def _words(text):
    """Return the words of a command. If a file with this name exists, it is one word, spaces included. On Windows a backslash is
    not an escape."""
    if shutil.which(text):
        return [text]
    try:
        words = shlex.split(text, posix=os.name != "nt")
    except ValueError as error:
        raise BuildError(f"the compiler {text!r} is not a command: {error}", "CC=gcc") from error
    return [word.strip('"') for word in words] if os.name == "nt" else words


def compile_library(folder, output, *, compiler="auto", flags=()):
    """Compile every C file of `folder` to the shared library `output`."""
    command = find_compiler(compiler)
    sources = sorted(str(p) for p in Path(folder).absolute().glob("*.c"))
    shared = ["-shared"] if os.name == "nt" else ["-shared", "-fPIC"]
    with tempfile.TemporaryDirectory(prefix=FOLDER) as place:
        is_zig = {Path(word).stem for word in command} & {"zig", "ziglang"}                 # its -c takes one file
        if not is_zig and all(flag[:2] in KNOWN for flag in flags):
            sources = objects(sources, [*command, *FLAGS, *flags, *shared[1:]], lambda words: _run(command, words, folder, place), place)
        _run(command, [*command, *FLAGS, *flags, *shared, *sources, "-o", str(output)], folder)
    return Path(output)


def _run(command, words, folder, place=None):
    """Run a compiler in the folder `place`; raise BuildError about the C of `folder` if it fails."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, errors="replace", check=False, timeout=900, cwd=place)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(f"{' '.join(command)} could not be run: {error}") from error
    if done.returncode:
        raise BuildError(f"{' '.join(command)} refused the generated code: {why_refused(done, folder)}")


def why_refused(done, folder):
    """Return the error message of a compiler that failed (a CompletedProcess), or its exit status if it printed nothing."""
    lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
    if lines:
        return next((line for line in lines if "error" in line), lines[0]).strip()
    places = dict.fromkeys(str(p) for p in (folder, tempfile.gettempdir()) if os.path.isdir(p))
    full = [place for place in places if shutil.disk_usage(place).free < ROOM]
    if full:
        return f"the disk of {full[0]} is full"
    ended = f"signal {-done.returncode} ended it" if done.returncode < 0 else f"exit code {done.returncode}"
    return f"it said nothing ({ended}); its memory or its disk may be used up"


def _remove(folder, handle):
    """Unload a library and remove its folder; Windows cannot delete a loaded file. `remove_old` removes leftovers later."""
    if os.name == "nt":
        with contextlib.suppress(OSError, AttributeError):
            import _ctypes
            _ctypes.FreeLibrary(handle)
    shutil.rmtree(folder, ignore_errors=True)
    remove_old()


def remove_old():
    """Remove folders of this kind that are over a day old: left by a killed process, or by Windows."""
    with contextlib.suppress(OSError):
        for old in Path(tempfile.gettempdir()).glob(f"{FOLDER}*"):
            with contextlib.suppress(OSError):
                if old.is_dir() and not old.is_symlink() and time.time() - old.stat().st_mtime > 86400:
                    shutil.rmtree(old, ignore_errors=True)


class HostModel:
    """The C of a model, compiled on this machine: a classifier with the same answers as the board.

        host = HostModel(tinyvgg.load_model("light.tvq"))
        host.labels(images)

    model: nn.Model, QuantizedModel, CompressedModel or Graph. compiler: "auto", "zig" or a command; flags: more of its options.
    Images are uint8 for integer models (floats in `bounds` are rounded to the nearest level), float32 for float models.
    """

    def __init__(self, model: Any, *, name: str = "network", compiler: str = "auto", flags: Sequence[str] = ()) -> None:
        self.graph, self.name = graph_of(model), graph_of(model).name
        self.sha256 = model_sha256(self.graph)
        self._model = model
        folder = tempfile.mkdtemp(prefix=FOLDER)
        self._close = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self.program = generate(self.graph, folder, name=name)
        path = compile_library(folder, Path(folder) / "network.so", compiler=compiler, flags=flags)
        self.c_name = identifier(name)
        library = ctypes.CDLL(str(path))
        self._run = getattr(library, f"{self.c_name}_run")
        self._run.restype = ctypes.c_int
        self._arena = np.zeros(self.program.arena_bytes // 8 + 1, np.uint64)
        self._close.detach()
        self._close = weakref.finalize(self, _remove, folder, library._handle)

    @property
    def input_shape(self) -> Shape:
        """Shape of one image."""
        return tuple(self.graph.input_shape)

    @property
    def bounds(self) -> Range:
        """(low, high) of valid images."""
        return tuple(self.graph.input_range)

    input_range = bounds

    @property
    def takes_bytes(self) -> bool:
        """Whether float images are rounded to levels first."""
        return self.program.image.dtype == "uint8"

    @property
    def made_for(self):
        """The data that the network was trained on (tinyvgg.classifier.MadeFor), or None."""
        return getattr(self._model, "made_for", None)

    @property
    def n_outputs(self) -> int:
        """Number of outputs for an image: one for each class, or a single one for two classes."""
        return self.graph.logits.shape[-1]

    @property
    def n_classes(self) -> int:
        return classes_of(self.graph.logits.shape)

    def raw_logits(self, x: Images) -> AnyArray:
        """x (N, *input_shape) -> (N, K), the outputs of the C: int16 or uint8 for integer models, float32 for float models."""
        return self._answers(x)[0]

    def outputs(self, x: Images) -> Floats:
        """x (N, *input_shape) -> (N, K) float32, before the head."""
        raw, last = self.raw_logits(x), self.graph.logits
        return raw if raw.dtype == np.float32 else np.float32(last.scale) * (raw.astype(np.float32) - np.float32(last.zero))

    def logits(self, x: Images, **_: Any) -> Floats:
        """x (N, *input_shape) -> (N, classes) float32, before the head."""
        return as_classes(self.outputs(x))

    def scores(self, x: Images) -> AnyArray:
        """x (N, *input_shape) -> (N, K): the result of softmax or sigmoid in C (uint8 in 1/255, or float32), or raw logits."""
        raw, probabilities = self._answers(x)
        return raw if probabilities is None else probabilities

    def predict(self, x: Images, **_: Any) -> AnyArray:
        """x (N, *input_shape) -> (N, K): the network's outputs after its softmax or sigmoid, which NumPy computes."""
        return apply_head(self.graph.head, self.outputs(x))

    def labels(self, x: Images, **_: Any) -> Integers:
        """x (N, *input_shape) -> (N,) int64, the class of the largest raw logit (the first one if several are equal)."""
        return labels_of(self.outputs(x))

    def trace(self, x: Images) -> dict[str, AnyArray]:
        """x (N, H, W, C) -> {op: its result (N, ...)} for every op that the C computes."""
        x, results = self.check_images(x), {}

        def after(_, layer, output, size):
            op = self.program.layers[layer]
            values = np.frombuffer(ctypes.string_at(output, size), op.dtype).reshape(op.shape)
            results.setdefault(op.name, []).append(values)

        observer = _Observer(_OBSERVER(after), None)
        self._answers(x, ctypes.byref(observer))
        return {name: np.stack(values) for name, values in results.items()}

    def check_images(self, x: Images) -> AnyArray:
        """Return x, uint8 or floats in `bounds`, in the form that the C takes; raise ShapeError, DataError: see
        tinyvgg.images."""
        convert = byte_images if self.program.image.dtype == "uint8" else float_images
        return convert(x, self.bounds, shape=self.input_shape)

    def _answers(self, x, observer=None):
        """Return raw logits (N, classes), and probabilities or None."""
        x, logits, softmax = self.check_images(x), self.graph.logits, self.program.softmax
        raw = np.empty((len(x), logits.nbytes // np.dtype(logits.dtype).itemsize), logits.dtype)
        probabilities = None if softmax is None else np.empty((len(x), logits.shape[-1]), softmax.dtype)
        arena = self._arena.ctypes.data_as(ctypes.c_void_p)
        for i in range(len(x)):
            outputs = [raw[i].ctypes.data_as(ctypes.c_void_p)]
            if probabilities is not None:
                outputs.append(probabilities[i].ctypes.data_as(ctypes.c_void_p))
            status = self._run(x[i].ctypes.data_as(ctypes.c_void_p), *outputs, arena, observer)
            if status:
                raise CheckFailed(f"the generated code refused its arguments: {STATUS.get(status, status)}")
        return raw, probabilities

    def __repr__(self) -> str:
        return f"<HostModel {self.name!r}: {len(self.program.layers)} layers, arena {self.program.arena_bytes:,} bytes>"
