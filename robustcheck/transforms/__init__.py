"""Transforms: what stands between an attack and the model. A file for each, and attacking through them."""
