"""The number of cores that this process may use: those of its affinity, limited by the quota of its control groups.

The limit of a container (`docker run --cpus 2`, a Kubernetes limit) is a quota: a total time on all cores in each period. More
threads than that use up the time early, and then all of them wait for the next period.
"""
import os
from pathlib import Path

from tinyvgg.types import PathLike


def usable_cores(root: PathLike = "/") -> int:
    """Return the number of cores, at least 1. root: the folder of /proc and /sys."""
    own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([own, *(int(quota) for quota in _quotas(Path(root)))]))


def _quotas(root):
    """Yield the quota, in cores, of each control group (version 1 or 2) of this process."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = (line.split(":", 2) + ["", ""])[:3]
        if controllers and "cpu" not in controllers.split(","):
            continue
        places = [root / "sys/fs/cgroup"] if not controllers else [root / "sys/fs/cgroup" / name for name in ("cpu", controllers)]
        folders = [part for part in Path(path.lstrip("/")).parts if part != ".."]
        for place in places:
            for depth in range(len(folders) + 1):           # in a container, the process's own group may be the top one
                yield from _quota(place.joinpath(*folders[:depth]))


def _quota(folder):
    """Yield the quota of one group, in cores, if it has one."""
    limit = _text(folder / "cpu.max").split() or [_text(folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")]
    if len(limit) == 2 and all(word.isascii() and word.isdigit() for word in limit) and int(limit[1]):
        yield int(limit[0]) / int(limit[1])


def _text(path):
    """Return the text of a small file, or "" if it cannot be read."""
    try:
        with open(path) as file:
            return file.read(65536)
    except (OSError, ValueError):
        return ""
