"""Talking to a board over a pyserial URL: both protocols, the link, the evaluator."""
