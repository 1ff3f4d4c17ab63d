"""What a policy costs on hardware: devices as data, operation lists, latency, memory, throughput and energy."""
