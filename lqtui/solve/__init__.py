"""The best recipe for a budget: choices, solver, frontier, and reasons. Pure functions of numbers."""
