"""Deterministic, resumable sampling of diffusion models."""
