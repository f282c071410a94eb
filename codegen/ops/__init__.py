"""One emitter an op, registered from outside on the dataclasses of tinyvgg.quant.graph."""
