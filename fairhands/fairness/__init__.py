"""Several objectives in one training step: how their gradients become one."""
