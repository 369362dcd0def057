"""From a source to rows: load, read front matter, split, write, embed."""
