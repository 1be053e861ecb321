"""Zarr stores and files that are complete or absent."""
