"""The queue service and its latency-critical allocation core."""
