"""What tests of model-calling code need: a provider without a model, and no real requests.

`FakeProvider` is a real HTTP server that speaks OpenAI's wire and says what it is told to say,
faults included. `forbid_real_requests()` makes sure that no test reaches a paid one by mistake;
`noria.testing.plugin` brings both to pytest as fixtures.
"""

from noria.testing.delivery import Owed
from noria.testing.fake import FakeProvider, Received
from noria.testing.forbid import FORBID_REAL_REQUESTS, forbid_real_requests
from noria.testing.replies import Fault, Reply, ToolCall

__all__ = [
    "FORBID_REAL_REQUESTS",
    "FakeProvider",
    "Fault",
    "Owed",
    "Received",
    "Reply",
    "ToolCall",
    "forbid_real_requests",
]
