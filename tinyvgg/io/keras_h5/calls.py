"""The calls of layers: one node of a functional model, of either version, as arguments."""
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tinyvgg.errors import FormatError

MAX_DEPTH = 20


class Result(NamedTuple):
    """Output `tensor` of call `use` of the layer `name`."""
    name: str
    use: int
    tensor: int


@dataclass
class Call:
    """Arguments by place and by name; each a Result, a list with Results in it, or plain data."""
    arguments: list[Any] = field(default_factory=list)
    named: dict[str, Any] = field(default_factory=dict)

    def sources(self):
        """The Results in the first argument."""
        return results(self.arguments[0]) if self.arguments else []

    def others(self):
        """The Results in all other arguments."""
        return results(self.arguments[1:]) + results(list(self.named.values()))

    def all(self):
        """Every Result, in order."""
        return self.sources() + self.others()


def results(value):
    """Return the Results within a value, in order."""
    if isinstance(value, Result):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [r for part in parts for r in results(part)]


def parse(node, where):
    """Return the Call of a node of layer `where`, of Keras 2 or 3."""
    if isinstance(node, dict):
        args, named = node.get("args"), node.get("kwargs")
        call = Call([_value(a, where) for a in args] if isinstance(args, list) else [],
                    {str(k): _value(v, where) for k, v in named.items()} if isinstance(named, dict) else {})
        if not call.arguments and call.named:           # called by name: Dense(3)(inputs=x)
            call.arguments = [call.named.pop(next(iter(call.named)))]
        return call
    entries = [node] if isinstance(node, list) and node and isinstance(node[0], str) else node
    if not isinstance(entries, list) or not entries:
        return Call()
    first, named = [], {}
    for entry in entries:
        if not isinstance(entry, list) or len(entry) < 3:
            first.append(_value(entry, where))
            continue
        first.append(entry[2] if entry[0] == "_CONSTANT_VALUE" else _value(entry[:3], where))
        if len(entry) > 3 and isinstance(entry[3], dict):
            named |= {str(k): _value(v, where) for k, v in entry[3].items()}
    return Call([first[0] if len(first) == 1 else first], named)


def references(value, where):
    """Return the Results of input_layers and output_layers."""
    return results(_value(value, where))


def _value(value, where, depth=0):
    if depth > MAX_DEPTH:
        raise FormatError(f"the inputs of {str(where)[:40]!r} are nested over {MAX_DEPTH} deep")
    if isinstance(value, dict):
        class_name = value.get("class_name")
        if class_name == "__keras_tensor__":
            return _value(value["config"]["keras_history"], where, depth + 1)
        if class_name in ("__tensor__", "__numpy__"):
            return _value(value["config"]["value"], where, depth + 1)
        return {str(k): _value(v, where, depth + 1) for k, v in value.items()}
    if isinstance(value, list):
        if len(value) >= 3 and isinstance(value[0], str) and all(type(v) is int for v in value[1:3]):
            if min(value[1:3]) < 0:
                raise FormatError(f"layer {str(where)[:40]!r} is called on {value[:3]}; expected numbers from 0")
            return Result(*value[:3])
        return [_value(v, where, depth + 1) for v in value]
    return value
