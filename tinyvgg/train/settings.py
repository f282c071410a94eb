"""The settings of a training run and their defaults, with the names of the command line."""
DEFAULTS = {"arch": "light", "data": None, "weights": None, "widen": None, "epochs": 10, "batch_size": 64, "optimizer": "adam",
            "learning_rate": None, "schedule": "constant", "warmup": 0.0, "weight_decay": None, "label_smoothing": 0.0,
            "augment": "none", "dropout": None, "ema": None, "swa": False, "validation": 0.1, "limit": None, "keep": "last",
            "patience": None, "classes": None, "input_range": None, "mean": None, "deviation": None, "adversarial": None,
            "eps": None, "adversarial_steps": None, "trades_beta": None, "distill": None, "temperature": None,
            "teacher_share": None, "student_temperature": None, "views": None, "seed": 0}
