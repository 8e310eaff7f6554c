"""Recipes in forms that other programs take."""
