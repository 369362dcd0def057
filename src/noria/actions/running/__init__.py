"""Carrying plans out: journalled before every call, resumed after a crash, watched, undone."""
