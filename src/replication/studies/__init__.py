"""What the paper, and two others, say about models with closed forms."""
