"""The Autobahn TestSuite's own side. It runs on Python 2.7, and run.py starts it:

    python2.7 -sSEu suite.py PACKAGES about           # cases, sections and versions, as JSON
    python2.7 -sSEu suite.py PACKAGES serve SPEC      # plays the cases with clients that come
    python2.7 -sSEu suite.py PACKAGES drive SPEC      # plays the cases with a server

PACKAGES is the folder in which requirements.txt was installed. SPEC is JSON: the cases, the
outdir, and the listening socket `fd` with its `url`, or the `servers` with their URLs. The reports
are JSON, and are written when it is stopped early, too.
"""

import json
import platform
import signal
import site
import socket
import sys

site.addsitedir(sys.argv[1])

import autobahn  # noqa: E402
import autobahntestsuite  # noqa: E402
import twisted  # noqa: E402
from autobahntestsuite import fuzzing  # noqa: E402
from twisted.internet import reactor  # noqa: E402

# How long the suite waits for a peer's part of a handshake, in seconds. Its own second or five are
# too short on a machine that has other things to do.
WAITS = {"openHandshakeTimeout": 30, "closeHandshakeTimeout": 10, "serverConnectionDropTimeout": 10}


def about():
    cases = fuzzing.CaseSet(
        fuzzing.CaseSetname,
        fuzzing.CaseBasename,
        fuzzing.Cases,
        fuzzing.CaseCategories,
        fuzzing.CaseSubCategories,
    )
    return {
        "cases": cases.parseSpecCases({"cases": ["*"]}),
        "sections": fuzzing.CaseCategories,
        "versions": [
            ["autobahntestsuite", autobahntestsuite.version],
            ["autobahn", autobahn.version],
            ["Twisted", twisted.__version__],
            ["CPython", platform.python_version()],
        ],
    }


class JsonReports(object):
    """Mixed into a factory: pages for people would take longer to write than many cases to play."""

    def createReports(self):
        fuzzing.FuzzingFactory.createReports(self, produceHtml=False)


class Server(JsonReports, fuzzing.FuzzingServerFactory):
    pass


class Client(JsonReports, fuzzing.FuzzingClientFactory):
    pass


def play(mode, spec):
    spec["options"] = WAITS
    if mode == "serve":
        spec["options"].pop("serverConnectionDropTimeout")  # a client's option
        factory = Server(spec)
        # The socket was bound by run.py: to the loopback, which the suite's own way would not do.
        reactor.adoptStreamPort(spec["fd"], socket.AF_INET, factory)
    else:
        factory = Client(spec)  # begins by itself
    signal.signal(signal.SIGTERM, lambda *_: reactor.callFromThread(reactor.stop))
    reactor.addSystemEventTrigger("before", "shutdown", factory.createReports)
    reactor.run(installSignalHandlers=False)


if sys.argv[2] == "about":
    print(json.dumps(about()))
else:
    play(sys.argv[2], json.loads(sys.argv[3]))
