"""How many cores this process may use: those of its affinity, and no more than the quota of its control groups allows.

A container's limit (`docker run --cpus 2`, a Kubernetes limit) is a quota: time on all cores together, which more threads than
that use up early, and then all of them wait for the next period.
"""
import os
from pathlib import Path

from tinyvgg.types import PathLike


def usable_cores(root: PathLike = "/") -> int:
    """Return the number of cores, 1 or more. root: where /proc and /sys are."""
    own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([own, *(int(quota) for quota in _quotas(Path(root)))]))


def _quotas(root):
    """Yield the cores' worth of time that each control group around this process may use, of version 1 or 2."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = (line.split(":", 2) + ["", ""])[:3]
        if controllers and "cpu" not in controllers.split(","):
            continue
        places = [root / "sys/fs/cgroup"] if not controllers else [root / "sys/fs/cgroup" / name for name in ("cpu", controllers)]
        folders = [part for part in Path(path.lstrip("/")).parts if part != ".."]
        for place in places:
            for depth in range(len(folders) + 1):           # in a container its own group may be the top one
                yield from _quota(place.joinpath(*folders[:depth]))


def _quota(folder):
    """The quota of one group, in cores, or nothing where there is none."""
    limit = _text(folder / "cpu.max").split() or [_text(folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")]
    if len(limit) == 2 and all(word.isascii() and word.isdigit() for word in limit) and int(limit[1]):
        yield int(limit[0]) / int(limit[1])


def _text(path):
    """What a small file says, nothing where it cannot be read."""
    try:
        with open(path) as file:
            return file.read(65536)
    except (OSError, ValueError):
        return ""
