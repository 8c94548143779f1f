"""Section 4: residual networks, transfer learning and augmentation in PyTorch."""
