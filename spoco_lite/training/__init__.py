"""From a configuration to a recorded run: one loop for every data set, on one process or several."""
