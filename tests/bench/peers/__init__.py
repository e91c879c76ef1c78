"""What Caxton is compared with: each in its own words, on the same machine, in the same run."""
