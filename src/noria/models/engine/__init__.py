"""The engine behind the local models: it runs in a process of its own and speaks OpenAI's wire."""

from noria.models.engine.protocol import Emit, Engine, Health

__all__ = ["Emit", "Engine", "Health"]
