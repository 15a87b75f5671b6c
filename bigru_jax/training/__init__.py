"""Training: the train state, the step, the loop and the whole job."""
