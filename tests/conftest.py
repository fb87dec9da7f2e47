"""Programs that the tests start can be interrupted, even where the tests run with SIGINT ignored."""

import signal

signal.signal(signal.SIGINT, signal.default_int_handler)
