"""The network: backbone and FPN, detector, region-level FPN, mask switch."""
