"""What tells one model, or one attack, from another when a stopped run goes on: plain data, or None where nothing tells it."""
import functools
import hashlib
import inspect
import json
import sys

from tinyvgg.report import record


def model_sha256(model):
    """Return the SHA-256 of a model's weights (or the one it names itself), None where it has neither."""
    named = getattr(model, "sha256", None)
    if isinstance(named, str):
        return named
    weights = getattr(model, "get_weights", None)
    return record.sha256_arrays(*weights()) if callable(weights) else None


def model_identity(model):
    """Return a dict that differs for models that may answer differently, or None for functions without a name.

    Weights and architecture tell a network; a wrapper tells itself by `identity()`; anything else by its attribute `name`.
    """
    own = getattr(model, "identity", None)
    if callable(own):
        return own()
    sha256, told = model_sha256(model), {"class": type(model).__qualname__, "bounds": [float(v) for v in model.bounds]}
    if sha256 is not None:
        config = getattr(model, "get_config", None)
        return {**told, "sha256": sha256, **({"config": _sha256(config())} if callable(config) else {})}
    name = getattr(model, "name", None)
    return {**told, "name": name} if isinstance(name, str) and name else None


def attack_identity(attack):
    """Return (name, settings, whether the name tells it) of an attack function, those of functools.partial unwrapped.

    A function that stands in a module is told by its place there and its code; a lambda, and one made within another, are not.
    """
    if isinstance(attack, functools.partial):
        name, settings, told = attack_identity(attack.func)
        return name, {**settings, **attack.keywords}, told and not attack.args      # arguments in order would be the model
    module, name = getattr(attack, "__module__", None), getattr(attack, "__qualname__", type(attack).__qualname__)
    if getattr(sys.modules.get(module), name, None) is not attack:
        return name, {}, False
    if module.startswith("tinyvgg.attacks."):
        return name, {}, True
    code = getattr(attack, "__code__", None)
    return f"{module}.{name}", {"code": _sha256([code.co_code.hex(), repr(code.co_consts), code.co_names])} if code else {}, True


def takes(attack, setting):
    """Whether an attack has a setting of that name; one of another's own with **settings is taken to have them all."""
    parameters = inspect.signature(attack).parameters
    passes = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    return setting in parameters or passes and not attack_identity(attack)[2] and setting != "early_stop"


def own_default(attack, setting):
    """Return the value that an attack takes for a setting where none is given, or None."""
    parameter = inspect.signature(attack).parameters.get(setting)
    return None if parameter is None or parameter.default is parameter.empty else parameter.default


def _sha256(value):
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
