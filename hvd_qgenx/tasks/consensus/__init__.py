"""Plain consensus: how fast, and after how many bits, ranks without gradients agree."""
