"""The one optimiser, its checkpoints, and training from many seeds."""
