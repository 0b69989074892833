"""Training data, augmentation, the training loop and evaluation."""
