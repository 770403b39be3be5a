"""Proof that what the stages write did not change between two commits, but for renamed and added fields."""
