"""Transforms: what stands between an attack and the model, and attacking through it."""
