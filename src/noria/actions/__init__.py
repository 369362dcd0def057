"""Words into API calls: a catalogue of operations, plans that people sign, and their undo."""
