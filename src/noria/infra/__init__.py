"""Where it runs: executors, engines, deployments, resources, capacity."""
