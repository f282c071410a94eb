"""Other libraries' attack functions by their own names, signatures and steps: `cleverhans` (tf2), `pgd_loop` with the orders of three."""
