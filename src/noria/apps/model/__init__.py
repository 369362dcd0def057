"""A model as applications use it: messages, tools, typed answers."""
