# SPDX-License-Identifier: Apache-2.0
"""A network that a test can cut, link by link and one way at a time.

As root: one network namespace a node, joined by a bridge in one more, all without a name, so that nothing is left
behind whatever happens to the test. A cut is a wrong link-layer address for the other node: packets leave and reach
nobody, as on a dead cable. Connections of the test itself come from the bridge and are never cut.

Otherwise: each node listens on a loopback address of its own, and peers reach it through a proxy in the test's
process that reads from the first request of a connection who is calling. A cut link's connections stand still."""
import contextlib
import ctypes
import os
import re
import select
import socket
import subprocess
import threading

CLONE_NEWNET = 0x40000000
NOBODY = "02:00:00:00:ff:ff"
LIBC = ctypes.CDLL(None, use_errno=True)


def _enter(namespace):
    if LIBC.setns(namespace, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def _current():
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


@contextlib.contextmanager
def _inside(namespace):
    """What this thread opens or starts meanwhile belongs to that namespace."""
    home = _current()
    try:
        _enter(namespace)
        yield
    finally:
        _enter(home)
        os.close(home)


def _new_namespace():
    home = _current()
    try:
        if LIBC.unshare(CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "unshare")
        made = _current()
        _enter(home)
        return made
    finally:
        os.close(home)


def _run(*arguments):
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OSError(f"{' '.join(arguments)}: {done.stderr.strip()}")


class Network:
    """`count` nodes, numbered from 0. `cuts` holds (from, to) of every link that is down."""

    def __init__(self, count):
        self.count = count
        self.cuts = set()

    def cut(self, *links):
        for source, target in links:
            self.cuts.add((source, target))
            self._set_link(source, target, False)

    def heal(self):
        for source, target in sorted(self.cuts):
            self._set_link(source, target, True)
        self.cuts.clear()

    def part(self, *groups):
        """Cuts every link between nodes of different groups."""
        for group in groups:
            for other in groups:
                if group is not other:
                    self.cut(*((a, b) for a in group for b in other))


class NamespaceNetwork(Network):
    kind = "namespaces"

    def __init__(self, count):
        super().__init__(count)
        self.namespaces = []
        self.home = _current()
        try:
            self.hub = self._namespace()
            _enter(self.hub)  # until close: connections of this thread, and of those it starts, come from the bridge
            _run("ip", "link", "set", "lo", "up")
            _run("ip", "link", "add", "bridge0", "type", "bridge")
            _run("ip", "addr", "add", "10.77.0.254/24", "dev", "bridge0")
            _run("ip", "link", "set", "bridge0", "up")
            self.nodes = [self._add_node(index) for index in range(count)]
        except BaseException:
            self.close()
            raise

    def _namespace(self):
        self.namespaces.append(_new_namespace())
        return self.namespaces[-1]

    def _add_node(self, index):
        node = self._namespace()
        _run("ip", "link", "add", f"node{index}", "type", "veth", "peer", "name", "eth0", "address", self._mac(index),
             "netns", f"/proc/{os.getpid()}/fd/{node}")
        _run("ip", "link", "set", f"node{index}", "master", "bridge0", "up")
        with _inside(node):
            _run("ip", "link", "set", "lo", "up")
            _run("ip", "addr", "add", f"{self.host(index)}/24", "dev", "eth0")
            _run("ip", "link", "set", "eth0", "up")
            for other in range(self.count):
                if other != index:
                    self._point(other, self._mac(other))
        return node

    @staticmethod
    def _mac(index):
        return f"02:00:00:00:00:{index + 1:02x}"

    def _point(self, target, mac):
        _run("ip", "neigh", "replace", self.host(target), "lladdr", mac, "dev", "eth0", "nud", "permanent")

    @staticmethod
    def host(index):
        return f"10.77.0.{index + 1}"

    def settings(self, index, port):  # pylint: disable=unused-argument
        return {"bind_address": self.host(index)}

    def address(self, index, port):
        return f"{self.host(index)}:{port}"

    def inside(self, index):
        return _inside(self.nodes[index])

    def _set_link(self, source, target, up):
        with self.inside(source):
            self._point(target, self._mac(target) if up else NOBODY)

    def close(self):
        _enter(self.home)
        for namespace in self.namespaces:
            os.close(namespace)
        os.close(self.home)


class ProxyNetwork(Network):
    kind = "proxies"

    def __init__(self, count):
        super().__init__(count)
        self.proxies = {}
        self.lock = threading.Lock()

    @staticmethod
    def host(index):
        return f"127.0.0.{index + 11}"

    def settings(self, index, port):
        return {"bind_address": self.host(index), "advertise_address": self.address(index, port)}

    def address(self, index, port):
        """Of a proxy in front of the node, which is made when it is first asked for."""
        if (index, port) not in self.proxies:
            self.proxies[index, port] = Proxy(self, index, (self.host(index), port))
        return self.proxies[index, port].address

    @staticmethod
    @contextlib.contextmanager
    def inside(index):  # pylint: disable=unused-argument
        yield

    def _set_link(self, source, target, up):
        pass  # the proxies look at `cuts`

    def close(self):
        for proxy in self.proxies.values():
            proxy.close()


class Proxy:
    """Forwards to one node. Never waits for one connection where another could go on."""

    def __init__(self, network, index, target):
        self.network, self.index, self.target = network, index, target
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.closed = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.closed.set()
        self.listener.close()

    def _accept(self):
        while not self.closed.is_set():
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _caller(self, head):
        match = re.search(rb"\r\nx-kvs-peer: *1 ([^ \r]*-(\d+)) |\r\nx-node-id: *([^\r]*-(\d+))\r", head, re.I)
        return int(match.group(2) or match.group(4)) if match else None

    def _serve(self, client):
        with client, contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                data = client.recv(65536)
                if not data:
                    return
                head += data
            caller = self._caller(head)
            self._wait_for_link(caller, self.index)
            with socket.create_connection(self.target, timeout=5) as node:
                node.settimeout(None)
                node.sendall(head)
                self._forward({client: (node, caller, self.index), node: (client, self.index, caller)})

    def _wait_for_link(self, source, target):
        while (source, target) in self.network.cuts and not self.closed.is_set():
            self.closed.wait(0.01)

    def _forward(self, ways):
        while not self.closed.is_set():
            open_ways = [end for end, (_, source, target) in ways.items() if (source, target) not in self.network.cuts]
            ready, _, _ = select.select(open_ways, [], [], 0.01)
            for end in ready:
                data = end.recv(65536)
                if not data:
                    return
                ways[end][0].sendall(data)


def make_network(count, warn):
    """Namespaces where that works (KVS_TEST_NETWORK=proxies: never); `warn` hears why not."""
    if os.environ.get("KVS_TEST_NETWORK") != "proxies":
        try:
            return NamespaceNetwork(count)
        except OSError as error:
            warn(f"no network namespaces ({error}): cuts are made by proxies instead")
    return ProxyNetwork(count)
