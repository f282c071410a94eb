"""Layers, models and losses."""
