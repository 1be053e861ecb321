"""Wedgescape: the large-scale structure of neural-network loss landscapes."""
