"""Importance measures: what each format of each layer is predicted to harm."""
