"""Recipes: which tensor of a model gets which type, and exactly what file that makes.

Pure code. Nothing here reads a file, draws on a screen or loads llama.cpp.
"""
