"""From plain data back to a network: the inverse of get_config."""
from tinyvgg.errors import FormatError, TinyVGGError
from tinyvgg.nn.graph import connect, input_node
from tinyvgg.nn.layers import LAYERS, InputLayer
from tinyvgg.nn.model import Model
from tinyvgg.nn.sequential import Sequential
from tinyvgg.nn.several import MultiModel


def layer_from_config(config):
    """Build a layer from {"class_name", "config"}; unknown classes and options raise an error that names them."""
    try:
        name, settings = config["class_name"], dict(config["config"])
    except (TypeError, KeyError, ValueError) as error:
        raise FormatError(f"a layer's description is {str(config)[:80]!r}; expected class_name and config") from error
    if name not in LAYERS:
        raise FormatError(f"layer {settings.get('name')!r} is a {name!r}, which this library has not; it has {', '.join(LAYERS)}")
    try:
        return LAYERS[name](**settings)
    except TypeError as error:
        raise FormatError(f"layer {settings.get('name')!r} ({name}) has settings that do not fit: {error}") from error


def model_from_config(config, *, seed=0):
    """Build the network that a get_config() describes, with fresh weights from `seed`."""
    try:
        layers = [layer_from_config(c) for c in config["layers"]]
        common = {"name": str(config["name"]), "input_range": tuple(config["input_range"]), "seed": seed}
        if config["class_name"] == "Sequential":
            if layers and layers[0].input_shape is None:
                layers[0].input_shape = tuple(config["input_shape"])
            return Sequential(layers, **common)
        nodes = _wire(config["nodes"], {layer.name: layer for layer in layers})
        if config["class_name"] == "MultiModel":
            return MultiModel([nodes[i] for i in config["inputs"]], [nodes[i] for i in config["outputs"]], **common)
        return Model(next(n for n in nodes if not n.inputs), nodes[-1], **common)
    except TinyVGGError:
        raise
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise FormatError(f"the description of a network is damaged: {type(error).__name__} {error}") from error


def _wire(descriptions, layers):
    """Connect layers as the list of {"layer", "inputs"} says; return the nodes."""
    nodes = []
    for description in descriptions:
        layer = layers[description["layer"]]
        if isinstance(layer, InputLayer):
            nodes.append(input_node(layer))
        else:
            sources = [nodes[int(i)] for i in description["inputs"]]
            nodes.append(connect(layer, sources if layer.joins else sources[0]))
    return nodes
