"""What the load generator does, and what our figures may be beside those of a peer."""

from dataclasses import dataclass, field

IDLE_CONNECTIONS = 10_000
KIB, MIB = 1024, 1024 * 1024
# The shortest window, in seconds, where a message takes long: in less, nothing may come back.
SLOW = 0.5


@dataclass(frozen=True)
class Workload:
    """`options` are the load generator's. `needs` are options of the server."""

    name: str
    options: tuple
    unit: str = "us"
    figure: str = "server_us"
    needs: tuple = ()
    # What is left over from the round before would count as this round's.
    fresh_server: bool = False
    # Whether TCP alone can be measured by it.
    has_floor: bool = False
    # The shortest window.
    least: float = 0


def size_name(size):
    for unit, shift in ("MiB", 20), ("KiB", 10):
        if size >> shift:
            return f"{size >> shift} {unit}"
    return f"{size} B"


def echo(size, connections, depth, *flags):
    """`flags` are of --text, --compress and --tls."""
    words = [flag.removeprefix("--").replace("tls", "TLS").replace("compress", "compressed") for flag in flags]
    return Workload(
        f"{' '.join([size_name(size), *words])}, {connections:,} x {depth}",
        ("--size", size, "--connections", connections, "--depth", depth, *flags),
        needs=tuple(flag for flag in flags if flag != "--text"),
        has_floor=not flags,
        least=SLOW if size * connections * depth >= 16 * MIB else 0,
    )


SMALLEST = echo(16, 1, 1)
MANY = echo(125, 100, 1)
DEEP = echo(125, 10, 16)
DEEP_TEXT = echo(125, 10, 16, "--text")
LARGE = echo(16384, 100, 1)
LARGEST = echo(256 * 1024, 1, 1)
CHURN = Workload("connect, upgrade, close", ("--mode", "churn", "--connections", 16))
IDLE = Workload(
    f"idle, {IDLE_CONNECTIONS:,} connections",
    ("--mode", "idle", "--connections", IDLE_CONNECTIONS),
    unit="KiB",
    figure="resident_kib_per_connection",
    fresh_server=True,
)
BROADCAST = Workload(
    "125 B broadcast to 1,000",
    ("--mode", "broadcast", "--connections", 1000),
    needs=("--broadcast",),
    least=SLOW,
)

SIZES = (16, 125, KIB, 16 * KIB, 256 * KIB, MIB)
SHAPES = ((1, 1), (100, 1), (10, 16), (1000, 1))
# Bytes under way, above which it is memory that is measured.
MOST = 128 * MIB
FULL = [
    *(echo(size, c, depth) for c, depth in SHAPES for size in SIZES if size * c * depth <= MOST),
    DEEP_TEXT,
    echo(16 * KIB, 100, 1, "--text"),
    echo(KIB, 100, 1, "--text", "--compress"),
    echo(16 * KIB, 100, 1, "--text", "--compress"),
    echo(125, 100, 1, "--tls"),
    echo(16 * KIB, 100, 1, "--tls"),
    BROADCAST,
    CHURN,
    IDLE,
]


@dataclass(frozen=True)
class Gate:
    """The most that our figures may be, as ratios to a peer's in the same rounds."""

    ours: str
    peer: str
    most: dict = field(hash=False)


CELLS = (SMALLEST, MANY, DEEP, DEEP_TEXT, LARGE, LARGEST)


def gate(ours, peer, *most):
    return Gate(ours, peer, dict(zip(CELLS, most, strict=True)))


GATES = [
    gate("coromega_ws, C", "fastwebsockets", 1.6, 1.1, 0.15, 0.22, 0.8, 1.15),
    gate("coromega_ws, Lua 5.4", "nginx, lua-resty-websocket", 1.6, 0.9, 0.25, None, 0.3, 0.25),
    gate("coromega_ws, callbacks, uvloop", "picows, uvloop", 1.5, 0.8, 0.2, None, 0.7, 0.95),
    gate("coromega_ws, awaited, uvloop", "picows, uvloop", 1.8, 0.95, 0.3, None, 0.75, 1.0),
    gate("coromega_ws, awaited, uvloop", "websockets, uvloop", 0.35, 0.3, 0.1, None, 0.5, 0.9),
]
# KiB of resident memory for each idle connection.
IDLE_MOST = 2.5
