"""Independent tasks in this process, in several processes, or on a Dask cluster, with the same results.

    with workers_of(2) as place:                             # or workers_of(dask="tcp://host:8786"); neither: this process
        for i, value in place.each(function, shared, tasks): # value = function(shared, *tasks[i]), in the order they end
            ...

`function` must be defined in a module; `shared` is sent to each worker once. If a worker dies, its tasks are repeated.
"""
import contextlib
import multiprocessing
import os
import pickle
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import CancelledError, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool

from tinyvgg._version import __version__
from tinyvgg.errors import OptionError, TinyVGGError, require

TRIES = 5                               # times that workers may die before the tasks are taken to be the cause
PATIENCE = 15                           # seconds for a cluster to answer
_shared = {}


class Here:
    """This process, one task after another."""

    size = 1

    def each(self, function, shared, tasks) -> Iterator:
        """Yield (i, function(shared, *tasks[i])) as they end."""
        for i, task in enumerate(tasks):
            yield i, function(shared, *task)


class Pool(Here):
    """Any concurrent.futures executor; its owner closes it."""

    def __init__(self, executor):
        self.executor, self.size = executor, getattr(executor, "_max_workers", 2)

    def each(self, function, shared, tasks):
        futures = {self.executor.submit(function, shared, *task): i for i, task in enumerate(tasks)}
        for future in as_completed(futures):
            yield futures[future], future.result()


class Processes(Here):
    """`size` processes of this machine, each with one thread for the kernels, or TINYVGG_NUM_THREADS."""

    def __init__(self, size):
        self.size = size

    def each(self, function, shared, tasks):
        left, dead, data = dict(enumerate(tasks)), 0, _packed(function, shared)
        while left:
            pool = ProcessPoolExecutor(min(self.size, len(left)), multiprocessing.get_context("spawn"), _begin, (data,))
            try:
                futures = {pool.submit(_one, function, *task): i for i, task in left.items()}
                for future in as_completed(futures):
                    value = future.result()
                    del left[futures[future]]
                    yield futures[future], value
            except BrokenProcessPool as error:
                dead += 1
                if dead >= TRIES:
                    raise OptionError(f"processes died {dead} times while they worked", "fewer --workers, where memory is short") from error
            finally:
                pool.shutdown(wait=False, cancel_futures=True)


class Cluster(Here):
    """The workers of a Dask client; its owner closes it."""

    def __init__(self, client):
        self.client, self.size = client, max(len(client.nthreads()), 1)            # scheduler_info may list five workers only

    def each(self, function, shared, tasks):
        from distributed import KilledWorker
        from distributed import as_completed as ended
        left, lost, data = dict(enumerate(tasks)), 0, _packed(function, shared)
        while left:
            with warnings.catch_warnings():                             # data that is sent once may be large
                warnings.simplefilter("ignore")
                there = self.client.submit(pickle.loads, data, pure=False)
                futures = {self.client.submit(function, there, *task, pure=False, retries=2): i for i, task in left.items()}
            try:
                for future in ended(futures):
                    try:
                        value = future.result()
                    except CancelledError:                              # its result was lost with a worker: done again below
                        continue
                    del left[futures[future]]
                    yield futures[future], value
            except KilledWorker as error:
                raise OptionError(f"the workers of the cluster died over one task: {error}", "more memory for its workers") from error
            finally:
                self.client.cancel(list(futures))
            lost += 1
            if left and lost >= TRIES:
                raise OptionError(f"the cluster lost {len(left)} tasks {lost} times", "more memory for its workers")


def _packed(function, shared):
    """Return `shared` as bytes, or raise OptionError if it cannot be sent to another process."""
    try:
        pickle.dumps(function)
        return pickle.dumps(shared, protocol=pickle.HIGHEST_PROTOCOL)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise OptionError(f"this work cannot be sent to another process: {error}",
                          "models, attacks and defences that stand in a module, no lambdas and no open boards; "
                          "or one process, without --workers") from error


def _begin(data):
    """Prepare a process: set its number of threads, unpack the shared data, and make it end with its parent."""
    os.environ.setdefault("TINYVGG_NUM_THREADS", "1")
    parent = multiprocessing.parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()
    _shared["data"] = pickle.loads(data)                                # only after the number of threads is set


def _one(function, *task):
    return function(_shared["data"], *task)


def placed(executor):
    """Return the place for an `executor`: None, a place of this module, a concurrent.futures executor or a Dask client."""
    if executor is None or isinstance(executor, Here):
        return executor or Here()
    if hasattr(executor, "scheduler_info"):
        return Cluster(executor)
    if hasattr(executor, "get_executor"):
        executor = executor.get_executor()
    if not hasattr(executor, "submit"):
        raise OptionError(f"executor is {type(executor).__name__}; expected a concurrent.futures executor or a Dask client")
    return Pool(executor)


@contextlib.contextmanager
def workers_of(workers=None, dask=None):
    """Yield the place for --workers N or --dask ADDRESS; with neither, this process."""
    if workers is not None and (isinstance(workers, bool) or not isinstance(workers, int) or not 1 <= workers <= 256):
        raise OptionError(f"workers is {workers!r}; expected a whole number from 1 to 256", "--workers 2")
    if workers is not None and dask is not None:
        raise OptionError(f"{workers} workers and a cluster were given; expected one of them", "the same without --workers")
    if dask is None:
        yield Here() if workers is None else Processes(workers)
        return
    client = _connect(dask)
    try:
        yield Cluster(client)
    finally:
        client.close()


def _connect(address):
    """Return a client of the cluster at `address`; raise OptionError if none answers, it has no workers or another tinyvgg
    version."""
    distributed = require("distributed", "dist")
    try:
        client = distributed.Client(address, timeout=PATIENCE)
    except (OSError, TimeoutError, ValueError, TypeError) as error:
        raise OptionError(f"no Dask scheduler answers at {address}: {str(error).splitlines()[0] if str(error) else type(error).__name__}",
                          "dask scheduler, and the address that it prints, as --dask tcp://192.168.0.2:8786") from error
    try:
        client.wait_for_workers(1, timeout=PATIENCE)
        versions = set(client.run(_version).values())
    except TinyVGGError:
        client.close()
        raise
    except Exception as error:                                          # missing packages of the workers can raise any exception
        client.close()
        what = "it has no workers" if isinstance(error, TimeoutError) else f"its workers cannot load tinyvgg ({error})"
        raise OptionError(f"the cluster at {address} cannot be used: {what}", "dask worker ADDRESS, where tinyvgg is installed") from error
    if versions != {__version__}:
        client.close()
        raise OptionError(f"the workers of {address} have tinyvgg {', '.join(sorted(versions))}; this is {__version__}",
                          f'pip install "tinyvgg[dist]=={__version__}" there')
    return client


def _version():
    return __version__
