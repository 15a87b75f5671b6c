"""Code that touches the machine or the process."""
