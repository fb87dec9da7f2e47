"""Servers, the load generator, and series of runs in which the servers take turns."""

import json
import os
import select
import signal
import subprocess

PATIENCE = 180


class Failed(Exception):
    """Something could not be measured."""


class Server:
    """The process of a subject that serves; `options` are the server's."""

    def __init__(self, subject, options):
        try:
            self.process = subprocess.Popen(
                [str(part) for part in (*subject.server, *options)],
                stdout=subprocess.PIPE,
                # Some say there what they think of a client that goes without a closing handshake.
                stderr=subprocess.DEVNULL,
                text=True,
                start_new_session=True,
            )
        except OSError as e:
            raise Failed(f"{subject.name} did not start: {e}") from None
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
        line = self.process.stdout.readline() if ready else ""
        if not line.startswith("LISTENING "):
            self.stop()
            raise Failed(f"{subject.name} did not start: {line!r}")
        self.port = int(line.split()[1])

    @property
    def pids(self):
        """All processes of the server."""
        parents = {}
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{name}/stat") as stat:
                    parents[int(name)] = int(stat.read().rpartition(")")[2].split()[1])
            except OSError:
                continue
        found = [self.process.pid]
        for pid in found:
            found += [child for child, parent in parents.items() if parent == pid]
        return found

    def stop(self):
        for end in signal.SIGTERM, signal.SIGKILL:
            self.process.send_signal(end)
            try:
                self.process.communicate(timeout=5)
                return
            except subprocess.TimeoutExpired:
                continue


def answer_of(command, what):
    command = [str(part) for part in command]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        raise Failed(f"{what}: no end") from None
    if done.returncode != 0:
        raise Failed(f"{what}: {done.stderr.strip()[-200:]}")
    return json.loads(done.stdout)


class Bench:
    """`load` is the load generator, `certificate` and `key` are files for TLS."""

    def __init__(self, load, certificate, key):
        self.load, self.certificate, self.key = load, certificate, key

    def run(self, subject, server, workload, seconds):
        """One run of the load generator."""
        options = []
        for option in workload.options:
            options += [option, self.certificate] if option == "--tls" else [option]
        pids = [part for pid in server.pids for part in ("--pid", pid)]
        seconds = max(seconds, workload.least)
        times = ["--seconds", seconds, "--warmup", seconds / 2, *(["--raw"] if subject.raw else [])]
        command = [self.load, "--port", server.port, *pids, *times, *options]
        return answer_of(command, f"{subject.name}, {workload.name}")

    def start(self, subject, workload):
        options = []
        for need in workload.needs:
            options += [need, self.certificate, self.key] if need == "--tls" else [need]
        return Server(subject, options)

    def series(self, subjects, workload, rounds, seconds):
        """The answers for each subject, round by round, who is first changing from round to round;
        and why there are none of a subject that failed."""
        answers, failed, servers = {subject.name: [] for subject in subjects}, {}, {}
        try:
            for number in range(rounds):
                for subject in subjects if number % 2 == 0 else reversed(subjects):
                    if subject.name in failed:
                        continue
                    try:
                        if workload.fresh_server and subject.name in servers:
                            servers.pop(subject.name).stop()
                        if subject.name not in servers:
                            servers[subject.name] = self.start(subject, workload)
                        answer = self.run(subject, servers[subject.name], workload, seconds)
                        answers[subject.name].append(answer)
                    except Failed as e:
                        failed[subject.name] = str(e)
                        answers.pop(subject.name)
        finally:
            for server in servers.values():
                server.stop()
        return answers, failed

    def clients(self, subjects, server, workload, rounds, seconds):
        """As `series`, for clients of one server."""
        answers, failed = {subject.name: [] for subject in subjects}, {}
        url = f"ws://127.0.0.1:{server.port}/"
        for number in range(rounds):
            for subject in subjects if number % 2 == 0 else reversed(subjects):
                if subject.name in failed:
                    continue
                times = ["--seconds", seconds, "--warmup", seconds / 2]
                command = [*subject.client, "--client", url, *workload.options, *times]
                try:
                    answer = answer_of(command, f"{subject.name}, client, {workload.name}")
                    answers[subject.name].append({"client_us": answer["cpu_us"] / answer["messages"], **answer})
                except (Failed, ZeroDivisionError) as e:
                    failed[subject.name] = str(e) or "nothing came back"
                    answers.pop(subject.name)
        return answers, failed
