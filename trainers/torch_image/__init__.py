"""A small convolutional network for images in classes: alone or over replicas, on CPU or GPU."""
