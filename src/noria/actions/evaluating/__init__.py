"""How well calls are chosen: four numbers, and the official metric of each benchmark beside."""
