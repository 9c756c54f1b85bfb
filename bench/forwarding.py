# SPDX-License-Identifier: Apache-2.0
"""Forwarding: iperf3 between two kernels, through tapir as the router and through the null forwarder, interleaved. Both have two TAP
interfaces with the offloads of a virtio NIC, so that what is passed on are super-segments."""

import json
import os
import shutil
import subprocess

# How each is called in the table; its addresses are 10.78.N.2 on the left and 10.78.N+1.2 on the right.
SYSTEMS = {"null": 1, "tapir": 3}
TITLE = "forwarding between two kernels, Gbit/s"
# The target: tapir's median over the null forwarder's.
SHARE_MIN = 0.60


class Forwarding:
    """Made of a bench/run's Bench; its processes end with it."""

    @staticmethod
    def possible() -> bool:
        return shutil.which("iperf3") is not None

    def __init__(self, bench) -> None:
        self.bench = bench
        self.left, self.right = bench.make_namespace(), bench.make_namespace()
        programs = {
            "null": ([os.path.join(bench.bin, "bench_null_forwarder"), "nullL", "nullR"], "ready"),
            "tapir": (
                [os.path.join(bench.bin, "tapir"), "up", "--dev", "tapirL", "--addr", "10.78.3.1/24", "--peer", "none", "--also", "tapirR=10.78.4.1/24",
                 "--sysctl", "net.ipv4.ip_forward=1", "--control", os.path.join(bench.folder, "router")],
                "Ctrl-C",
            ),
        }
        middle = bench.make_namespace()
        for system, (command, ready) in programs.items():
            bench.processes.start(bench.enter(middle, "taskset", "-c", bench.server_cpu, *command), ready)
            net = SYSTEMS[system]
            self.take(middle, f"{system}L", self.left, net, net + 1)
            self.take(middle, f"{system}R", self.right, net + 1, net)
        bench.processes.start(bench.enter(self.right, "taskset", "-c", bench.server_cpu, "iperf3", "-s", "--forceflush"), "listening")

    def take(self, middle: subprocess.Popen, device: str, namespace: subprocess.Popen, net: int, other: int) -> None:
        """The kernel's end of a TAP: an address, and the way to the other side."""
        bench = self.bench
        bench.inside(middle, "ip", "link", "set", device, "netns", f"/proc/{namespace.pid}/ns/net")
        bench.inside(namespace, "ip", "addr", "add", f"10.78.{net}.2/24", "dev", device)
        bench.inside(namespace, "ip", "link", "set", device, "up")
        # cubic by its route: a namespace's default may not be changed.
        bench.inside(namespace, "ip", "route", "add", f"10.78.{other}.0/24", "via", f"10.78.{net}.1", "congctl", "cubic")

    def measure(self, system: str) -> float:
        """Gbit/s that arrived."""
        options = self.bench.options
        command = ["taskset", "-c", self.bench.client_cpu, "iperf3", "-c", f"10.78.{SYSTEMS[system] + 1}.2", "-t", str(max(1, round(options.seconds))), "-J"]
        done = subprocess.run(self.bench.enter(self.left, *command), stdout=subprocess.PIPE, text=True, timeout=options.warm_up + options.seconds + 20)
        answer = json.loads(done.stdout)
        if "error" in answer:
            raise RuntimeError(f"iperf3 through {system}: {answer['error']}")
        return answer["end"]["sum_received"]["bits_per_second"] / 1e9
