"""Neural networks: classifiers, confidence heads, input batches, device selection, inference, and trained networks on disk."""
