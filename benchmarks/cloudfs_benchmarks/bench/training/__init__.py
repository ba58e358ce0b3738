"""The training suite: an ordinary loader, its epochs, and what the accelerator waited for."""
