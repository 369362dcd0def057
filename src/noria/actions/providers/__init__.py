"""Those who carry out calls: a simulator, clouds, HTTP APIs, commands of this machine."""
