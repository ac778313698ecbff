"""Draws with replacement for a bootstrap: of single samples and images, or of random groups of them where there are many."""
