"""Runs a Lua script, interrupts it (SIGINT) and tells how it ended.

    interrupt.py INTERPRETER SCRIPT ARGUMENT ...

The script prints READY when it can be interrupted. What is printed: MILLISECONDS from the signal to
the end of the process, STATUS, and the lines the script wrote to standard error.
"""

import os
import signal
import subprocess
import sys
import time

signal.alarm(60)
child = subprocess.Popen(
    sys.argv[1:], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    # The shell starts background programs with SIGINT ignored.
    preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
)
for line in child.stdout:
    if line.startswith("READY"):
        break
time.sleep(0.3)
before = time.monotonic()
os.kill(child.pid, signal.SIGINT)
_, errors = child.communicate()
print("MILLISECONDS", round((time.monotonic() - before) * 1000))
print("STATUS", child.returncode)
for line in errors.splitlines():
    print("STDERR", line)
print("DONE", flush=True)
