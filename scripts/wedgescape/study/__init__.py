"""What one config asks for: its settings, its grid of hyperparameters, its methods."""
