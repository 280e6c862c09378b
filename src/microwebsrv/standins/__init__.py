"""Modules of a board, for programs that run on a desk: what `import machine` and the like find there."""
