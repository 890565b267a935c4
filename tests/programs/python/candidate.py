#!/usr/bin/env python3
"""One candidate of a leader election with the official Python client, as it is.

The election is the module kubernetes.leaderelection; the only thing that a fleet
needs is the kubeconfig, whose server URL has the path of the control plane's proxy.
What the leader does, and what is printed, is the same as with the other programs
(tests/programs/README.md).
"""

import argparse
import json
import logging
import sys
import threading
import time

from kubernetes import client, config
from kubernetes.client.rest import ApiException
from kubernetes.leaderelection import electionconfig, leaderelection
from kubernetes.leaderelection.resourcelock.leaselock import LeaseLock

TOKEN = "helium.dev/fencing-token"

# How long a write may take. It is longer than any lease: what becomes of late
# writes is the question.
PATIENCE = 30

output = threading.Lock()


def now():
    """Nanoseconds of a clock that all processes of the machine share."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Candidate:
    def __init__(self, options):
        self.options = options
        self.leading = threading.Event()

    def say(self, event, **more):
        line = {"identity": self.options.identity, "event": event, "boot": now(), **more}
        with output:
            # In one piece: the module's log goes to the same file.
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()

    def run(self):
        """Stands until leadership was held and lost."""
        o = self.options
        lock = Observed(self, o.name, o.namespace, o.identity)
        leaderelection.LeaderElection(
            electionconfig.Config(
                lock,
                lease_duration=o.lease_duration,
                renew_deadline=o.renew_deadline,
                retry_period=o.retry_period,
                onstarted_leading=self.lead,
                onstopped_leading=self.stop,
            )
        ).run()

    def stop(self):
        self.leading.clear()
        self.say("stopped", leader=self.options.identity)

    def lead(self):
        """Works in the present term until it is lost."""
        self.leading.set()
        self.say("started", leader=self.options.identity)
        try:
            token = self.token()
            # It doesn't look again between thinking and writing: however often a
            # program looks, it can be paused behind its last look.
            while token and self.leading.is_set():
                time.sleep(self.options.work / 1000)
                self.write(token)
        except Exception:  # a worker that can't work gives its place to another
            logging.exception("working")
            raise

    def token(self):
        """The fencing token of this candidate's term, 0 if it has none by now."""
        lease = None
        while lease is None and self.leading.is_set():
            try:
                lease = client.CoordinationV1Api().read_namespaced_lease(
                    self.options.name, self.options.namespace
                )
            except Exception as error:
                logging.warning("reading the token: %s", error)
                time.sleep(1)
        if lease is None or lease.spec.holder_identity != self.options.identity:
            return 0
        return int((lease.metadata.annotations or {}).get(TOKEN, 0))

    def write(self, token):
        o = self.options
        sent = now()
        annotations = {
            "helium.dev/fence": f"{o.namespace}/{o.name}={token}",
            "example.com/holder": o.identity,
            "example.com/token": str(token),
            "example.com/at": str(sent),
        }
        try:
            written = client.CustomObjectsApi().patch_namespaced_custom_object(
                "innsmouth.example.com",
                "v1",
                "default",
                "festivals",
                o.object,
                {"metadata": {"annotations": annotations}},
                field_manager="work",
                _content_type="application/merge-patch+json",
                _request_timeout=PATIENCE,
            )
            answer = {"outcome": "accepted", "revision": int(written["metadata"]["resourceVersion"])}
        except ApiException as error:
            # A gateway's 5xx says nothing about what is behind it.
            refused = 400 <= (error.status or 0) < 500
            answer = {"outcome": "refused" if refused else "unknown", "message": str(error.body)}
        except Exception as error:
            answer = {"outcome": "unknown", "message": str(error)}
        self.say("wrote", token=token, sent=sent, **answer)


class Observed(LeaseLock):
    """The client's own lock, which says each acknowledged write."""

    def __init__(self, candidate, *arguments):
        super().__init__(*arguments)
        self.candidate = candidate

    def create(self, *arguments, **named):
        return self.observe(super().create, *arguments, **named)

    def update(self, *arguments, **named):
        return self.observe(super().update, *arguments, **named)

    def observe(self, write, *arguments, **named):
        sent = now()
        succeeded = write(*arguments, **named)
        if succeeded:
            self.candidate.say("renewed", sent=sent)
        return succeeded


def main():
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flags.add_argument("--kubeconfig", required=True, help="the server that has the Lease")
    flags.add_argument("--namespace", default="default", help="namespace of the Lease")
    flags.add_argument("--name", required=True, help="name of the Lease")
    flags.add_argument("--identity", required=True, help="this candidate's name")
    flags.add_argument("--lease-duration", type=int, default=6, help="seconds")
    flags.add_argument("--renew-deadline", type=int, default=4, help="seconds")
    flags.add_argument("--retry-period", type=int, default=1, help="seconds")
    flags.add_argument("--object", required=True, help="a Festival that the leader writes to")
    flags.add_argument("--work", type=int, default=250, help="milliseconds between its writes")
    options = flags.parse_args()
    logging.basicConfig(level=logging.INFO)  # what the module says of the election, on standard error
    config.load_kube_config(options.kubeconfig)
    candidate = Candidate(options)
    try:
        candidate.run()
    except Exception:
        # The module lets errors of connections through. A program ends with
        # them, and is started again by whatever runs it.
        logging.exception("the election ended")
        candidate.stop()
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
