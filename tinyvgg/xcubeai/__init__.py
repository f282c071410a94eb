"""Reading what ST's X-CUBE-AI wrote, and setting it beside our own numbers."""
