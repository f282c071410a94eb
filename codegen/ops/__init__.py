"""One emitter for each op, registered here for the classes of tinyvgg.quant.ops. To add an emitter, add a file here."""
import pkgutil
from importlib import import_module

for _module in pkgutil.iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
