"""HTTP on both sides: the server's connections, the client's, and what flows through them."""

from noria.http.sink import BufferedSink, ResponseSink

__all__ = ["BufferedSink", "ResponseSink"]
