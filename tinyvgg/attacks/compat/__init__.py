"""Other libraries' attacks by their own names, signatures and steps: `cleverhans` (tf2); `pgd_loop` in the orders of three."""
