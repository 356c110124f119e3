"""Toytown, the small world that the course's micro checkpoints know."""
