"""The identity of a model or an attack, so that a stopped run continues only with the same one: plain data, or None if
unknown."""
import functools
import hashlib
import inspect
import json
import sys
import types

import numpy as np

from tinyvgg.errors import OptionError
from tinyvgg.report import record

FRAMEWORKS = ("torch.", "keras.", "tf_keras.", "tensorflow.")          # whose classes are known by their names
TORCH_WORDS = ("<class 'torch.dtype'>", "<class 'torch.device'>")


def model_sha256(model):
    """Return the SHA-256 of a model's weights, or its attribute sha256; None if it has neither."""
    named = _own(model, "sha256")
    if isinstance(named, str):
        return named
    weights = _own(model, "get_weights")
    return record.sha256_arrays(*weights()) if callable(weights) else None


def model_identity(model):
    """Return a dict that differs for models that may answer differently, or None for functions without a name. A network of this
    package is identified by its weights and architecture, a wrapper by its `identity()`, anything else by its own attribute
    `name` or `sha256`. Attributes that a wrapper passes on from its inner model do not count.
    """
    own = _own(model, "identity")
    if callable(own):
        return own()
    kind, sha256, name, config = type(model), model_sha256(model), _own(model, "name"), _own(model, "get_config")
    told = {"class": f"{kind.__module__}.{kind.__qualname__}", "bounds": [float(v) for v in model.bounds], "sha256": sha256,
            "config": _sha256(config()) if callable(config) else None}
    if sha256 is not None and kind.__module__.startswith("tinyvgg."):
        return told
    named = isinstance(name, str) and bool(name)
    return {**told, "name": name if named else None} if named or _own(model, "sha256") else None


def attack_identity(attack):
    """Return (name, settings, whether the name identifies it) of an attack function; functools.partial is unwrapped. A function
    of a module is identified by its name there, its code and its defaults; a lambda or a nested function is not.
    """
    if not callable(attack):
        raise OptionError(f"attack is {attack!r}; expected a function", "attack=attacks.pgd")
    if isinstance(attack, functools.partial):
        name, settings, told = attack_identity(attack.func)
        return name, {**settings, **attack.keywords}, told and not attack.args      # arguments in order would be the model
    module, name = getattr(attack, "__module__", None), getattr(attack, "__qualname__", type(attack).__qualname__)
    code = getattr(attack, "__code__", None)
    if getattr(sys.modules.get(module), name, None) is not attack or code is None or attack.__closure__:
        return name, {}, False
    if _of_the_package(attack):
        return name, {}, True
    return f"{module}.{name}", {"code": _sha256([_code(code), repr(attack.__defaults__), repr(attack.__kwdefaults__)])}, True


def class_code(kind):
    """Return plain data of the code of a class's own methods, and of those that it inherits from other classes of one's own."""
    own = [part for part in kind.__mro__ if part is not object and not part.__module__.startswith(FRAMEWORKS)]
    methods = [(part, sorted((name, f) for name, f in vars(part).items() if inspect.isfunction(f))) for part in own]
    return [[f"{part.__module__}.{part.__qualname__}", *([name, _code(f.__code__)] for name, f in found)] for part, found in methods]


def value_identity(value):
    """Return text that differs for values that differ: plain data, arrays, classes, functions of modules; None for anything else."""
    if value is None or isinstance(value, bool | int | float | complex | str | bytes) or f"{type(value)}" in TORCH_WORDS:
        return repr(value)
    if isinstance(value, np.ndarray | np.generic):
        return record.sha256_arrays(np.asarray(value)) if np.asarray(value).dtype != object else None
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, dict):
        value = [(repr(key), item) for key, item in value.items()]
    if isinstance(value, list | tuple):
        told = [value_identity(item) for item in value]
        return None if None in told else f"[{', '.join(told)}]"
    if isinstance(value, functools.partial):
        return value_identity([value.func, list(value.args), value.keywords])
    if inspect.isbuiltin(value):                                        # of a module or a type; a method of another object tells nothing
        known = value.__self__ is None or isinstance(value.__self__, type | types.ModuleType)
        return f"{value.__module__}.{value.__qualname__}" if known else None
    if inspect.isfunction(value):
        name, settings, told = attack_identity(value)
        return f"{name} {settings}" if told else None
    return None


def takes(attack, setting):
    """Return whether an attack has a setting of that name; a function with **settings is assumed to have all."""
    parameters = inspect.signature(attack).parameters
    passes = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    return setting in parameters or passes and not _of_the_package(attack) and setting != "early_stop"


def own_default(attack, setting):
    """Return an attack's default for a setting, or None."""
    parameter = inspect.signature(attack).parameters.get(setting)
    return None if parameter is None or parameter.default is parameter.empty else parameter.default


def needs(attack, setting):
    """Return whether an attack has a setting of that name without a default."""
    parameter = inspect.signature(attack).parameters.get(setting)
    return parameter is not None and parameter.default is parameter.empty


def unwrapped(attack):
    """Return the function inside a functools.partial, or the attack itself."""
    while isinstance(attack, functools.partial):
        attack = attack.func
    return attack


def _of_the_package(attack):
    return (getattr(unwrapped(attack), "__module__", None) or "").startswith("tinyvgg.attacks.")


def _own(model, name):
    """Return an attribute that the object or its class has, not one that it fetches from another by __getattr__; else None."""
    return None if inspect.getattr_static(model, name, None) is None else getattr(model, name, None)


def _code(code):
    """Return plain data of a function's code, and of those within it, whose repr would hold an address."""
    return [code.co_code.hex(), code.co_names, [_code(c) if inspect.iscode(c) else repr(c) for c in code.co_consts]]


def _sha256(value):
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
