"""Mathematics on log-probabilities: pure functions of numbers and arrays."""
