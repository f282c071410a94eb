"""What a model costs: parameters, MACC, flash and RAM per layer and board, by ST's rules and by ours."""
