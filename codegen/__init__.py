"""From an integer graph or a float model to self-contained C99; `host` compiles it and wraps it as a classifier."""
