"""Training: optimizers, schedules, the fit loop with resume, callbacks, adversarial training."""
