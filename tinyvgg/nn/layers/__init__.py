"""One layer a file: forward, backward and shapes."""
