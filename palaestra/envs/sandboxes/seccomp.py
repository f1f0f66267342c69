"""A filter of system calls, as the kernel reads it: what code in a jail has no business with is refused.

Namespaces hide files, processes and networks. What they leave open is closed here: making further namespaces (in one of
its own, code could mount memory without limit), memory that no limit counts (shared segments, memory files), sockets
that no namespace confines (a virtual machine's host, the kernel's ciphers), and the doors through which kernels are
attacked most often. A refused call fails with EPERM, or as if the kernel did not know it.
"""

from __future__ import annotations

import errno
import platform
import struct

# name: number on x86_64, on aarch64
REFUSED = {
    # other namespaces and mounts
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "mount_setattr": (442, 442),
    # memory that belongs to no process
    "shmget": (29, 194),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    # other processes, and the kernel
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "syslog": (103, 116),
    "personality": (135, 92),
    "open_by_handle_at": (304, 265),
}
CLONE, CLONE3, SOCKET = (56, 220), (435, 435), (41, 198)
_NEW_NAMESPACES = 0x7E020080  # any of CLONE_NEW*: cgroup, uts, ipc, user, pid, net, time, mount
_FAMILIES = (1, 2, 10)  # AF_UNIX, AF_INET, AF_INET6
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _FAIL = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER, _MACHINE, _FIRST_ARGUMENT = 0, 4, 16  # offsets in the kernel's description of a call


def program(machine: str = "") -> bytes:
    """The filter for a machine (default: this one), a list of `struct sock_filter`; empty for a machine not known."""
    if (machine or platform.machine()) not in _MACHINES:
        return b""
    column, architecture = _MACHINES[machine or platform.machine()]

    def compare(value: int, then: str, otherwise: str = "", how: int = _EQUAL) -> tuple[int, int, str, str]:
        return how, value, then, otherwise

    # (code, value, label if true, label if false); no label goes on
    lines: list[tuple[int, int, str, str]] = [
        (_LOAD, _MACHINE, "", ""),
        compare(architecture, "", "kill"),
        (_LOAD, _NUMBER, "", ""),
        compare(0x40000000, "kill", how=_AT_LEAST),  # the second set of numbers of x86_64
        *(compare(numbers[column], "refused") for numbers in REFUSED.values()),
        compare(CLONE3[column], "unknown"),  # its flags cannot be seen; the C library then calls clone
        compare(CLONE[column], "clone"),
        compare(SOCKET[column], "socket", "allowed"),
    ]
    labels = {"clone": len(lines)}
    lines += [(_LOAD, _FIRST_ARGUMENT, "", ""), compare(_NEW_NAMESPACES, "refused", "allowed", _ANY_BIT)]
    labels["socket"] = len(lines)
    lines += [(_LOAD, _FIRST_ARGUMENT, "", ""), *(compare(family, "allowed") for family in _FAMILIES)]
    ends = {"family": errno.EAFNOSUPPORT, "refused": errno.EPERM, "unknown": errno.ENOSYS}
    for label, value in {**{k: _FAIL | v for k, v in ends.items()}, "allowed": _ALLOW, "kill": _KILL}.items():
        labels[label] = len(lines)
        lines.append((_RETURN, value, "", ""))

    def away(label: str, line: int) -> int:
        return labels[label] - line - 1 if label else 0

    return b"".join(
        struct.pack("=HBBI", code, away(yes, n), away(no, n), value) for n, (code, value, yes, no) in enumerate(lines)
    )
