"""An executor that never tires: every way an execution can go, mixed, for a long time, on a real node."""
