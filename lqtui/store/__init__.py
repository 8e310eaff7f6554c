"""What outlives a run: where files go, measured results, and quantized tensors."""
