"""What a comparison of architectures needs inside image 1: who the candidates are, and what was asked."""
