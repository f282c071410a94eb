"""One TOML file a board: flash, RAM, clock, core, and where the figures come from."""
