"""What several test rooms share: real nodes, real programs."""
