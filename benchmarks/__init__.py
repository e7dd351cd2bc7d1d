"""How fast the whole migration is, beside the fastest possible and beside other ways: `make benchmark`.

Here: each way as a module that runs in a process of its own (`floor`, `guide`), and `run`, which takes
turns with them and prints the figures. Not part of the package, nor of the tests.
"""
