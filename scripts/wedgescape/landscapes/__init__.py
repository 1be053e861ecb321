"""Landscapes: a loss over points, of networks and of toy wedges; directions, spans and lines in them."""
