"""Numbered changes of the tables; one that was released is never edited."""
