"""Attacks as in other libraries, with their names, signatures and steps: `cleverhans` (tf2); `pgd_loop` as in three libraries."""
