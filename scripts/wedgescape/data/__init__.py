"""Data sets: published ones, downloads, and a user's own."""
