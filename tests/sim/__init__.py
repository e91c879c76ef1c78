"""The cluster's own modules with a simulated clock and network: what they cost from 3 to 1,000 nodes."""
