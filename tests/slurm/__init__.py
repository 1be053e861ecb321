"""The workflow on a real Slurm."""
