"""Reading what others export: files into pieces of JSON, and pieces into conversations.

`pieces` walks a source in constant memory, `conversations_of` understands one piece, whatever form
it has. Nothing is lost on the way: what cannot be read is a piece with a fault.
"""

from __future__ import annotations

from noria.datasets.readers.draft import Draft, Turn
from noria.datasets.readers.forms import FORMS, conversations_of
from noria.datasets.readers.pieces import Piece, pieces, size_of

__all__ = ["FORMS", "Draft", "Piece", "Turn", "conversations_of", "pieces", "size_of"]
