"""What runs networks: classifiers, confidence heads, batches, devices, and networks on disk."""
