"""What happens, as a seed has it: the same seed gives the same actions in the same order, for ever.

Nothing here looks at the world. An action names hosts, and of what a host has the n-th, counted
around; who carries it out finds that there, or nothing.
"""

import random
from typing import NamedTuple

HOSTS = 6  # three that last and hold the ends of the pairs, and three that are ended and made anew
LASTING = 3
PAIRS = 4
LUAS = ["lua51", "lua52", "lua53", "lua54", "luajit21"]
BEHAVIOURS = ["echo", "take", "deaf", "throw", "slow", "close", "flood", "drop", "parts"]
SIZES = [0, 1, 20, 125, 126, 1000, 5000, 65535, 65536, 150_000]
LARGE = [400_000, 1_000_000, 1_100_000]
CLIENTS = [
    "silent", "half_head", "garbage_head", "hello", "long_head", "reset_after_open", "reset_in_frame",
    "stalled_frame", "never_reads", "garbage_frames", "unmasked", "bad_text", "bad_close", "huge",
    "bomb", "fragments", "pings", "proper", "no_close_answer", "gone_at_once",
]  # fmt: skip
SERVERS = [
    "silent", "reset", "half_answer", "garbage_answer", "error", "redirect", "wrong_key", "reset_after_open",
    "reset_in_frame", "stalled_frame", "never_reads", "garbage_frames", "masked", "bad_text", "huge", "bomb",
    "fragments", "pings", "proper", "no_close_answer", "restart", "drip",
]  # fmt: skip


class Action(NamedTuple):
    name: str
    arguments: tuple
    pause: float  # seconds until the next one


def both_sides(r):
    """Options that either side may have. Times are short: what waits in here must end soon."""
    options = {"open_timeout": r.choice([0.3, 1, 3]), "close_timeout": r.choice([0.1, 0.5, 2])}
    some = {
        "ping_interval": lambda: r.choice([0.02, 0.2, 1]),
        "ping_timeout": lambda: r.choice([0.2, 1, 2]),
        "message_timeout": lambda: r.choice([0.1, 1]),
        "max_message_size": lambda: r.choice([1, 1000, 100_000]),
        "read_limit": lambda: r.choice([1, 1000, 50_000]),
        "write_limit": lambda: r.choice([1, 1000, 500_000]),
        "max_callbacks": lambda: r.choice([1, 3]),
        "max_lifetime": lambda: r.choice([0.05, 0.5, 2]),
        "max_message_rate": lambda: r.choice([1, 20, 500]),
        "max_byte_rate": lambda: r.choice([1000, 100_000]),
        "context_takeover": lambda: 1,
        "window_bits": lambda: r.randint(9, 15),
        "compression_level": lambda: r.randint(1, 9),
        "compression_min_size": lambda: r.choice([0, 10_000]),
        "fragments": lambda: 1,
    }
    for name in r.sample(sorted(some), r.choice([0, 0, 1, 2, 3])):
        options[name] = some[name]()
    return options


def server_options(r):
    options = both_sides(r) | {"compression": r.randint(0, 1)}
    if r.random() < 0.2:
        options["max_connections"] = r.choice([1, 3, 10])
    if r.random() < 0.1:
        options["max_connections_per_address"] = r.choice([1, 5])
    if r.random() < 0.1:
        options["max_handshakes"] = r.choice([1, 2])
    return options


def client_options(r):
    options = both_sides(r)
    if r.random() < 0.3:
        options["compression"] = 0
    if r.random() < 0.3:
        options |= {"reconnect": 1, "reconnect_delay": r.choice([0.005, 0.1]), "reconnect_max_delay": 0.3}
        options["reconnect_buffer"] = r.choice([0, 1000, 100_000])
        options.pop("fragments", None)  # which does not go with it
    return options


def behaviour(r):
    return r.choice(BEHAVIOURS)


def nth(r):
    return r.randrange(1000)


def listen(r):
    way = r.choice(["tcp", "tcp", "tcp", "tls", "unix"])
    review = r.choice(["", "", "", "accept", "refuse", "throw", "leave"])
    return r.randrange(HOSTS), way, server_options(r), behaviour(r), review


def connect(r):
    return r.randrange(HOSTS), nth(r), client_options(r), behaviour(r)


def burst(r):
    return r.randrange(HOSTS), nth(r), client_options(r), behaviour(r), r.randint(5, 25)


def send(r):
    size = r.choice(LARGE) if r.random() < 0.05 else r.choice(SIZES)
    count = 1 if size >= 65535 else r.choice([1, 1, 10, 100])
    return r.randrange(HOSTS), nth(r), r.random() < 0.5, size, count, r.random() < 0.8


def write(r):
    """A message in fragments, which is finished or stays half."""
    size, count = r.choice([0, 100, 20_000, 150_000]), r.choice([0, 1, 3, 30])
    return r.randrange(HOSTS), nth(r), r.random() < 0.5, size, count, r.random() < 0.6, r.random() < 0.8


def send_to_many(r):
    slow = r.choice(["wait", "drop_newest", "drop_oldest", "close"])
    return r.randrange(HOSTS), slow, r.choice(SIZES), r.random() < 0.5


def close(r):
    return r.randrange(HOSTS), nth(r), r.choice([1000, 1001, 1008, 3000, 4999])


def one(r):
    """A host, and the n-th of what it has."""
    return r.randrange(HOSTS), nth(r)


def move(r):
    return r.randrange(HOSTS), nth(r), r.randrange(HOSTS), behaviour(r)


def move_end(r):
    """One end of a pair goes to another of the hosts that last."""
    return r.randrange(PAIRS), r.choice(["client", "server"]), r.randrange(1, LASTING)


def break_off(r):
    """One end of a pair leaves a message half."""
    return r.randrange(PAIRS), r.choice(["client", "server"])


def close_listener(r):
    return r.randrange(HOSTS), nth(r), r.choice([0, 0, 0.05, 0.5])


def hostile_client(r):
    return r.choice(CLIENTS), nth(r), r.randrange(1 << 30)


def hostile_server(r):
    # Many are lost within a message.
    what = "parts" if r.random() < 0.2 else behaviour(r)
    return r.randrange(HOSTS), r.choice(SERVERS), r.randrange(1 << 30), client_options(r), what


def log(r):
    """Another level, or nothing; by a function that throws, now and then."""
    level = r.choice(["nothing", "error", "warning", "info", "debug", "debug"])
    return r.randrange(HOSTS), level, r.random() < 0.1


def fork(r):
    return r.choice(["exit", "python", "lua", "c", "parents"])


def end_host(r):
    return r.randrange(LASTING, HOSTS), r.randrange(2)


def a_host(r):
    return (r.randrange(HOSTS),)


ACTIONS = {
    listen: 8,
    connect: 16,
    burst: 1,
    send: 24,
    write: 8,
    log: 4,
    send_to_many: 4,
    close: 5,
    move: 10,
    move_end: 5,
    break_off: 2,
    close_listener: 4,
    hostile_client: 14,
    hostile_server: 10,
    end_host: 2,
}
# Those of one shape: name, weight, arguments.
SIMPLE = {
    "drop": (5, one),
    "ping": (4, one),
    "cancel": (3, one),
    "replace": (3, one),
    "reload": (1, one),
    "look": (3, a_host),
    "collect": (2, a_host),
    "misuse": (2, one),
    "throw": (2, a_host),
    "fork": (1, lambda r: (fork(r),)),
}
MAKERS = [(m.__name__, m, weight) for m, weight in ACTIONS.items()]
MAKERS += [(name, make, weight) for name, (weight, make) in SIMPLE.items()]


class Schedule:
    """An endless sequence of actions."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.lua = self.random.choice(LUAS)

    def __iter__(self):
        r = self.random
        weights = [weight for _, _, weight in MAKERS]
        calm = True
        while True:
            # Quick and quiet times follow each other.
            if r.random() < 0.005:
                calm = not calm
            name, make, _ = r.choices(MAKERS, weights)[0]
            yield Action(name, tuple(make(r)), r.expovariate(1 / 0.02) if calm else r.expovariate(1 / 0.003))
