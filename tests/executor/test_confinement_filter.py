"""The filter as a program: what passes, what ends the process, on which architectures."""

from __future__ import annotations

import struct

import pytest

from caxton.executor.confinement.bpf import ALLOW, KILL_PROCESS, MAX_INSTRUCTIONS, Check, assemble
from caxton.executor.confinement.calls import architecture
from caxton.executor.confinement.landlock import handled
from caxton.executor.confinement.profiles import COMPILER, FILES, PURE, rules

X86, ARM = architecture("x86_64"), architecture("aarch64")


def verdict(program: bytes, audit: int, number: int, *arguments: int) -> int:
    """Runs the program as the kernel would."""
    words = [*arguments, *([0] * (6 - len(arguments)))]
    data = struct.pack("<IIQ6Q", number & 0xFFFFFFFF, audit, 0, *(word & (2**64 - 1) for word in words))
    accumulator, at = 0, 0
    while True:
        operation, true, false, operand = struct.unpack_from("<HBBI", program, 8 * at)
        at += 1
        match operation:
            case 0x20:
                (accumulator,) = struct.unpack_from("<I", data, operand)
            case 0x54:
                accumulator &= operand
            case 0x15:
                at += true if accumulator == operand else false
            case 0x35:
                at += true if accumulator >= operand else false
            case 0x06:
                return operand
            case _:
                raise AssertionError(f"an instruction that the assembler does not know: {operation:#x}")


def test_only_what_is_named_passes_and_only_with_its_arguments() -> None:
    program = assemble(X86.audit, {1: (), 72: (Check(1, (3, 4)),), 44: (Check(4, (0,), wide=True),)})
    assert verdict(program, X86.audit, 1) == ALLOW
    assert [verdict(program, X86.audit, 72, 9, command) for command in (3, 4, 5)] == [ALLOW, ALLOW, KILL_PROCESS]
    assert verdict(program, X86.audit, 44) == ALLOW
    assert verdict(program, X86.audit, 44, 0, 0, 0, 0, 1 << 32) == KILL_PROCESS  # an address whose lower half is zero
    assert {verdict(program, X86.audit, number) for number in range(1024) if number not in (1, 72, 44)} == {
        KILL_PROCESS
    }


def test_other_architectures_and_x32_end_the_process() -> None:
    program = assemble(X86.audit, {1: ()})
    for other in (0x40000003, ARM.audit, 0):  # i386 reaches its own table by int 0x80
        assert verdict(program, other, 1) == KILL_PROCESS
    assert verdict(program, X86.audit, 0x40000001) == KILL_PROCESS
    assert verdict(program, X86.audit, 0xFFFFFFFF) == KILL_PROCESS


@pytest.mark.parametrize("on", [X86, ARM])
@pytest.mark.parametrize("profile", [PURE, FILES, COMPILER])
def test_every_profile_fits_into_the_kernel(on: object, profile: object) -> None:
    made = rules(profile, on)  # type: ignore[arg-type]  # parametrized
    assert len(assemble(on.audit, made)) <= 8 * MAX_INSTRUCTIONS  # type: ignore[attr-defined]
    assert len(made) > 20


def test_nothing_that_takes_a_path_or_starts_anything_is_in_a_pure_worker() -> None:
    assert not {"openat", "openat2", "newfstatat", "stat", "unlinkat", "readlinkat"} & (set(PURE) | set(COMPILER))
    for profile in (PURE, FILES, COMPILER):
        assert not {"socket", "connect", "execve", "clone", "fork", "ptrace", "prctl", "ioctl"} & set(profile)
    with pytest.raises(LookupError):
        architecture("riscv64")


def test_landlock_handles_what_its_kernel_knows() -> None:
    assert handled(1) == (1 << 13) - 1
    assert handled(2) == (1 << 14) - 1
    assert handled(3) == handled(4) == (1 << 15) - 1
    assert handled(7) == (1 << 16) - 1
