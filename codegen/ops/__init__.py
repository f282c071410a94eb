"""One emitter an op, registered from outside on the classes of tinyvgg.quant.ops. To add one: a file here."""
import pkgutil
from importlib import import_module

for _module in pkgutil.iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
