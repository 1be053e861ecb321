"""Works at which the project is timed beside its peers: `make bench`, docs/performance.md.

One file per work or family of works. `frame` says what a work is, `clock` times it, `report` writes it down; `problems`
holds data and networks, and `hessians` how each contestant multiplies with a Hessian.
"""
