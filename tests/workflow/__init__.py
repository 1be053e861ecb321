"""Whole studies, run in copies of the project."""
