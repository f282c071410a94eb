"""Networks that this library trained, each with a card: load(name), path(name)."""
