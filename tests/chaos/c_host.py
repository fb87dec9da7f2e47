"""A host in C: this side of it. What it is told, c_host.c does on the caller's thread."""

import ctypes
import threading
from concurrent.futures import Future

from messages import WITHIN

from hosts import ROOT, compile_c

HERE = ROOT / "tests/chaos"
BEHAVIOURS = {"echo": 0, "take": 1, "deaf": 2, "throw": 3, "slow": 4, "close": 5, "flood": 6, "drop": 7, "parts": 8}
SLOW = ["wait", "drop_newest", "drop_oldest", "close"]
LEVELS = ["nothing", "error", "warning", "info", "debug"]
ROLES = {"client": 0, "server": 1}
HOST, TEXT, INT, HANDLE, SIZE = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint64, ctypes.c_size_t
NUMBER = ctypes.POINTER(ctypes.c_int64)
FUNCTIONS = {
    "host_new": (HOST,),
    "host_end": (None, HOST, INT),
    "host_failure": (None, HOST, TEXT, INT),
    "log": (INT, HOST, INT),
    "listen": (INT, HOST, TEXT, TEXT, INT, TEXT),
    "connect": (INT, HOST, TEXT, TEXT, INT),
    "send": (INT, HOST, INT, INT, SIZE, INT, INT),
    "write": (INT, HOST, INT, INT, SIZE, INT, INT, INT),
    "send_to_many": (INT, HOST, INT, SIZE),
    "one": (HANDLE, HOST, INT, INT, INT),
    "take": (INT, HOST, HANDLE, INT),
    "listener": (INT, HOST, INT, INT, ctypes.c_double),
    "misuse": (INT, HOST, HANDLE),
    "fork": (INT, HANDLE),
    "pair_listen": (INT, HOST, INT, TEXT),
    "pair_connect": (INT, HOST, INT, TEXT, TEXT),
    "pair_give": (HANDLE, HOST, INT, INT, NUMBER, NUMBER),
    "pair_take": (INT, HOST, INT, INT, HANDLE, ctypes.c_int64, ctypes.c_int64),
    "pair_forget": (None, HOST, INT, INT),
    "pair_break": (None, HOST, INT, INT, INT),
    "pair_broken": (INT, HOST, INT, INT, NUMBER, NUMBER),
    "pair_progress": (ctypes.c_int64, HOST, INT, INT, INT),
}


def load():
    """The functions of the C half, compiled as any program is."""
    sources = [HERE / name for name in ("c_host.c", "c_pairs.c", "c_fragments.c", "c_log.c", "c_fork.c")]
    shared = compile_c(sources[0], ROOT / "build/tests/chaos/c_host.so", "-shared", "-fPIC", "-g", *sources[1:])
    library = ctypes.CDLL(str(shared))
    for name, (result, *arguments) in FUNCTIONS.items():
        function = getattr(library, f"chaos_{name}")
        function.restype, function.argtypes = result, arguments
    return library


def lines(options):
    values = ((k, v) for k, several in options.items() for v in (several if isinstance(several, list) else [several]))
    return "\n".join(f"{name}={value}" for name, value in values).encode()


class CHost:
    language = "c"

    def __init__(self, library, failed):
        self.library, self.failed = library, failed
        self.host = library.chaos_host_new()
        self.ended = False
        # An order and the end of the host exclude each other.
        self.lock = threading.Lock()

    def call(self, name, *arguments):
        future = Future()
        with self.lock:
            result = "ended" if self.ended else getattr(self, name)(*arguments)
            self._look_for_failures()
        future.set_result(result)
        return future

    def end(self, abrupt):
        with self.lock:
            self._look_for_failures()
            self.ended = True
            self.library.chaos_host_end(self.host, abrupt)

    def _look_for_failures(self):
        if not self.ended:
            text = ctypes.create_string_buffer(300)
            self.library.chaos_host_failure(self.host, text, len(text))
            if text.value:
                self.failed(text.value.decode(errors="replace"))

    def listen(self, options, behaviour, review, host, port):
        wanted = options | ({"review": 1} if review else {})
        code = BEHAVIOURS[behaviour]
        bound = self.library.chaos_listen(self.host, host.encode(), lines(wanted), code, review.encode())
        return ("127.0.0.1" if bound > 0 else host, bound)

    def connect(self, url, options, behaviour):
        return self.library.chaos_connect(self.host, url.encode(), lines(options), BEHAVIOURS[behaviour])

    def send(self, n, binary, size, count, compress):
        return self.library.chaos_send(self.host, n, binary, size, count, compress)

    def write(self, n, binary, size, count, whole, compress):
        return self.library.chaos_write(self.host, n, binary, size, count, whole, compress)

    def send_to_many(self, slow, size, compress):
        return self.library.chaos_send_to_many(self.host, SLOW.index(slow), size)

    def _one(self, what, n, code=0):
        return self.library.chaos_one(self.host, ord(what), n, code)

    def close(self, n, code):
        return self._one("c", n, code)

    def drop(self, n):
        return self._one("d", n)

    def ping(self, n):
        return self._one("p", n)

    def replace(self, n):
        return self._one("r", n)

    def give(self, n):
        return self._one("l", n) or "nothing"

    def cancel(self, n):
        return self._one("l", n)

    def take(self, handle, behaviour):
        return self.library.chaos_take(self.host, handle, BEHAVIOURS[behaviour])

    def close_listener(self, n, drain):
        return self.library.chaos_listener(self.host, ord("c"), n, drain)

    def reload(self, n):
        return self.library.chaos_listener(self.host, ord("r"), n, 0)

    def look(self):
        for n in range(4):
            self.library.chaos_listener(self.host, ord("l"), n, 0)
        return "ok"

    def log(self, level, throws):
        return self.library.chaos_log(self.host, LEVELS.index(level))

    def collect(self):
        return "ok"

    def misuse(self, n):
        if not self.library.chaos_misuse(self.host, n):
            self.failed("C: a call that is wrong was not refused as it should be")
        return "ok"

    def throw(self):
        return "ok"

    def pair_listen(self, pair, options):
        return "127.0.0.1", self.library.chaos_pair_listen(self.host, pair, lines(options))

    def pair_connect(self, pair, url, options):
        return "ok" if self.library.chaos_pair_connect(self.host, pair, url.encode(), lines(options)) == 0 else "failed"

    def _counts(self, function, pair, role):
        sent, received = ctypes.c_int64(), ctypes.c_int64()
        result = function(self.host, pair, ROLES[role], ctypes.byref(sent), ctypes.byref(received))
        return result, sent.value, received.value

    def pair_give(self, pair, role):
        """Within a message that it sends, an end does not move."""
        result = self._counts(self.library.chaos_pair_give, pair, role)
        return result if result[0] else WITHIN

    def pair_take(self, pair, role, fragments, handle, sent, received):
        status = self.library.chaos_pair_take(self.host, pair, ROLES[role], handle, sent, received)
        if status != 0:
            self.failed(f"pair {pair}: C can't take the {role} over: status {status}")
        return "ok"

    def pair_break(self, pair, role, leaves_half):
        self.library.chaos_pair_break(self.host, pair, ROLES[role], leaves_half)
        return "ok"

    def pair_broken(self, pair, role):
        """How many it has sent and received; None while it has not ended."""
        done, *counts = self._counts(self.library.chaos_pair_broken, pair, role)
        return tuple(counts) if done else None

    def pair_forget(self, pair, role):
        self.library.chaos_pair_forget(self.host, pair, ROLES[role])
        return "ok"

    def pair_progress(self, pair, role):
        return self.library.chaos_pair_progress(self.host, pair, ROLES[role], 0)

    def pair_stop(self, pair):
        """How many came back; -1 while it has not ended."""
        return self.library.chaos_pair_progress(self.host, pair, 0, 1)
