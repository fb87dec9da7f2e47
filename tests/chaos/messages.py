"""The numbered messages of the pairs: what number n is, each language works out by itself."""

WINDOW = 8  # that are under way at a time


def size_of(n):
    if n % 1009 == 1008:
        return 300_000
    if n % 97 == 96:
        return 70_000
    return n * 7919 % 300


def message(n):
    """Text, or bytes for each third."""
    text = f"{n}:" + "x" * size_of(n)
    return text.encode() if n % 3 == 0 else text
