"""One page that shows a study: plots to turn and sliders to move, in a file that needs no network. Imports no torch."""
