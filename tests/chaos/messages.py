"""The numbered messages of the pairs: what number n is, each language works out by itself."""

WINDOW = 8  # that are under way at a time
# What a message begins with that nobody finishes, and that nobody may therefore get as a whole.
HALF = "half"
UNFINISHED = (1011, "a message was not finished")
SECRET = "sesame"  # the query of every address, which the log does not tell
WITHIN = "within a message"  # where an end can't be given away


def size_of(n):
    if n % 1009 == 1008:
        return 300_000
    if n % 97 == 96:
        return 70_000
    return n * 7919 % 300


def message(n):
    """Text, or bytes for each third. Its characters have two bytes, between which it is never cut."""
    text = f"{n}:" + "ü" * size_of(n)
    return text.encode() if n % 3 == 0 else text


def is_in_fragments(n):
    return n % 5 == 2


def has_pauses(n):
    return n % 40 == 7


def parts(text):
    """As what a message leaves that is sent in fragments."""
    size = len(text) // 4 + 1
    return (text[at : at + size] for at in range(0, len(text), size))
