#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""ptx_to_cpp.py SOURCE.ptx TARGET.cpp VARIANT [REPLACEMENT]: translates a PTX file's kernels to C++ for the emulator.

A register becomes a variable that holds bits, an instruction a statement, a label a label. Shared memory is an offset
into the block's dynamic memory (the static arrays first, as on a device), parameters are a block of bytes. Barriers,
shuffles, votes, atomics, cp.async, ldmatrix and mma call the emulator. ptx_intrinsics.h has the functions that the
statements use. An unknown instruction stops the build. VARIANT is the name of this translation among others of the same
kernels (ptx_kernels.h). REPLACEMENT plants a fault: "KERNEL: OLD => NEW" replaces the first occurrence of the text OLD
in the first kernel whose name contains KERNEL; only that kernel is then written.

Reference: PTX ISA, "Instruction Set".
"""
import os
import re
import sys

from extract_ptx import write_if_changed

CPP_TYPES = {"s8": "int8_t", "u8": "uint8_t", "b8": "uint8_t", "s16": "int16_t", "u16": "uint16_t", "b16": "uint16_t",
             "s32": "int32_t", "u32": "uint32_t", "b32": "uint32_t", "s64": "int64_t", "u64": "uint64_t",
             "b64": "uint64_t", "f32": "float", "f64": "double", "pred": "bool"}
# A register holds bits, so that an instruction with another type can read them.
REGISTER_TYPES = {"pred": "bool", "b16": "uint16_t", "b32": "uint32_t", "b64": "uint64_t", "f32": "uint32_t",
                  "f64": "uint64_t"}
BITS = {"f32": "b32", "f64": "b64"}  # the type that moves a value without interpreting it
UNSIGNED = {"s16": "uint16_t", "s32": "uint32_t", "s64": "uint64_t"}
SPECIAL_REGISTERS = {"%laneid": "gradamp::emulation::lane()", "%WARP_SZ": "32"} | {
    f"%{ptx}.{axis}": f"gradamp::emulated::{cuda}.{axis}"
    for ptx, cuda in {"tid": "threadIdx", "ctaid": "blockIdx", "ntid": "blockDim", "nctaid": "gridDim"}.items()
    for axis in "xyz"}
COMPARISONS = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "lo": "<", "ls": "<=", "hi": ">",
               "hs": ">="}
SPACES = ("param", "global", "shared", "local")
BITWISE = {"and": "&", "or": "|", "xor": "^"}
ATOMICS = {"add": "Add", "inc": "Inc", "cas": "CAS", "min": "Min", "max": "Max", "exch": "Exch", "and": "And",
           "or": "Or", "xor": "Xor"}


class UnknownInstruction(Exception):
    pass


def size_of(ptx_type):
    return int(re.search(r"\d+", ptx_type).group()) // 8


def split_list(text):
    """Splits at the commas that are outside of brackets."""
    parts, depth, part = [], 0, ""
    for character in text:
        depth += (character in "{[(") - (character in "}])")
        if character == "," and depth == 0:
            parts.append(part.strip())
            part = ""
        else:
            part += character
    return parts + ([part.strip()] if part.strip() else [])


def round_up(offset, alignment):
    return (offset + alignment - 1) // alignment * alignment


class Kernel:
    """One .entry: the offsets of its parameters and arrays, and its statements."""

    def __init__(self, name, parameters):
        self.name = name
        self.parameters = []    # (offset, bytes)
        self.parameter_at = {}  # name -> offset
        self.shared = {}        # name -> offset; None: the dynamic memory
        self.static_shared = 0
        self.local = {}         # name -> variable
        self.site = "{}"        # of the instruction under translation
        self.body = []
        self._place_parameters(parameters)

    def _place_parameters(self, text):
        end = 0
        for parameter in split_list(text):
            match = re.search(r"\.(?:align (\d+) \.b8|([a-z]\d+))\s+([\w$]+)(?:\[(\d+)\])?$", parameter)
            alignment, size = (int(match[1]), int(match[4])) if match[1] else (size_of(match[2]),) * 2
            end = round_up(end, alignment)
            self.parameter_at[match[3]] = end
            self.parameters.append((end, size))
            end += size

    def place_shared(self, name, alignment, size):
        self.static_shared = round_up(self.static_shared, alignment)
        self.shared[name] = self.static_shared
        self.static_shared += size

    @property
    def uses_dynamic(self):
        return None in self.shared.values()

    @property
    def dynamic_at(self):
        return round_up(self.static_shared, 128) if self.uses_dynamic else self.static_shared

    # ---- Operands ----

    def value(self, token, ptx_type):
        """The operand as a C++ expression of the type."""
        cpp_type = CPP_TYPES[ptx_type]
        if token.startswith("!"):
            return f"!{self.value(token[1:], ptx_type)}"
        if token in SPECIAL_REGISTERS:
            return f"{cpp_type}({SPECIAL_REGISTERS[token]})"
        bits = None
        if token.startswith("%"):
            bits = register(token)
        elif re.match(r"0[fF][0-9A-Fa-f]{8}$", token):
            bits = f"uint32_t(0x{token[2:]}u)"
        elif re.match(r"0[dD][0-9A-Fa-f]{16}$", token):
            bits = f"uint64_t(0x{token[2:]}ull)"
        if bits:
            if ptx_type in BITS:
                return f"__builtin_bit_cast({cpp_type}, {bits})"
            return bits if ptx_type == "pred" else f"{cpp_type}({bits})"
        if re.match(r"-?[0-9]", token):
            number = int(token.rstrip("U"), 0)
            return f"{cpp_type}({number}{'ull' if number >= 2**63 else 'll'})"
        if token in self.parameter_at:
            return f"{cpp_type}(reinterpret_cast<uintptr_t>(parameters) + {self.parameter_at[token]})"
        if token in self.shared:
            return f"{cpp_type}({self.shared_offset(token)})"
        if token in self.local:
            return f"{cpp_type}(reinterpret_cast<uintptr_t>({self.local[token]}))"
        raise UnknownInstruction(f"operand {token}")

    def values(self, tokens, ptx_type):
        return [self.value(token, ptx_type) for token in tokens]

    def shared_offset(self, name):
        return "dynamic_at" if self.shared[name] is None else str(self.shared[name])

    def address(self, token, space):
        base, offset = re.match(r"\[([^+\]]+)(?:\+(-?\d+))?\]", token).groups()
        offset = offset or "0"
        if space == "param" and base in self.parameter_at:
            return f"parameters + {self.parameter_at[base]} + {offset}"
        if space == "shared":
            at = self.shared_offset(base) if base in self.shared else f"int64_t({register(base)})"
            return f"shared + {at} + ({offset})"
        return f"at({register(base) if base.startswith('%') else self.value(base, 'u64')}) + ({offset})"

    # ---- Instructions ----

    def statement(self, opcode, operands):
        """The instruction as a C++ statement."""
        parts = opcode.split(".")
        handler = INSTRUCTIONS.get(opcode) or INSTRUCTIONS.get(parts[0])
        text = handler(self, parts, operands) if handler else None
        if text is None:
            raise UnknownInstruction(f"{opcode} {', '.join(operands)}")
        return text


def register(token):
    return f"R{token[1:]}"


def assign(token, expression, ptx_type=None):
    """An assignment. Integers are converted to the register's width; the expression's sign decides the extension."""
    if ptx_type in BITS:
        cpp_type = CPP_TYPES[ptx_type]
        expression = f"__builtin_bit_cast({CPP_TYPES[BITS[ptx_type]]}, {cpp_type}({expression}))"
    return f"{register(token)} = {expression};"


INSTRUCTIONS = {}


def instruction(*names):
    def add(handler):
        for name in names:
            INSTRUCTIONS[name] = handler
        return handler
    return add


@instruction("mov")
def move(kernel, parts, operands):
    kind = BITS.get(parts[-1], parts[-1])
    target, source = operands
    if target[0] == "{":  # a register into its parts
        pieces = split_list(target[1:-1])
        bits = size_of(kind) * 8 // len(pieces)
        return " ".join(assign(piece, f"uint{bits}_t({kernel.value(source, kind)} >> {bits * i})")
                        for i, piece in enumerate(pieces))
    if source[0] == "{":  # a register from its parts
        pieces, cpp_type = split_list(source[1:-1]), CPP_TYPES[kind]
        bits = size_of(kind) * 8 // len(pieces)
        return assign(target, " | ".join(f"{cpp_type}({cpp_type}({kernel.value(piece, f'b{bits}')}) << {bits * i})"
                                         for i, piece in enumerate(pieces)))
    return assign(target, kernel.value(source, kind))


@instruction("ld", "st")
def load_or_store(kernel, parts, operands):
    kind = BITS.get(parts[-1], parts[-1])
    cpp_type = CPP_TYPES[kind]
    space = next((part for part in parts if part in SPACES), "generic")
    memory, registers = (operands[1], operands[0]) if parts[0] == "ld" else operands
    registers = split_list(registers[1:-1]) if registers[0] == "{" else [registers]
    address = kernel.address(memory, space)
    if parts[0] == "ld" and space == "param":
        return " ".join(assign(each, f"reinterpret_cast<const {cpp_type}*>({address})[{i}]")
                        for i, each in enumerate(registers))
    if parts[0] == "ld" and len(registers) == 1:
        return assign(registers[0], f"load<{cpp_type}, 1>({address}, {kernel.site}).values[0]")
    if parts[0] == "ld":
        sets = " ".join(assign(each, f"loaded.values[{i}]") for i, each in enumerate(registers))
        return f"{{ const auto loaded = load<{cpp_type}, {len(registers)}>({address}, {kernel.site}); {sets} }}"
    values = ", ".join(kernel.values(registers, kind))
    return f"store<{cpp_type}, {len(registers)}>({address}, {{{{{values}}}}}, {kernel.site});"


@instruction("setp")
def set_predicate(kernel, parts, operands):
    kind, comparison = parts[-1], parts[1]
    x, y = kernel.values(operands[1:3], kind)
    if comparison == "nan":
        text = f"is_unordered({x}, {y})"
    elif kind[0] == "f" and len(comparison) == 3:  # ltu etc.: also true if one is NaN
        text = f"(is_unordered({x}, {y}) || {x} {COMPARISONS[comparison[:2]]} {y})"
    elif kind[0] == "f" and comparison == "ne":
        text = f"(!is_unordered({x}, {y}) && {x} != {y})"
    else:
        text = f"({x} {COMPARISONS[comparison]} {y})"
    if parts[2] in ("and", "or"):
        text = f"({text} {'&&' if parts[2] == 'and' else '||'} {kernel.value(operands[3], 'pred')})"
    return f"{register(operands[0])} = {text};"


@instruction("selp")
def select(kernel, parts, operands):
    x, y = kernel.values(operands[1:3], BITS.get(parts[-1], parts[-1]))
    return assign(operands[0], f"{kernel.value(operands[3], 'pred')} ? {x} : {y}")


@instruction("cvt")
def convert(kernel, parts, operands):
    target, source = operands[0], operands[1]
    special = {
        "cvt.rn.bf16x2.f32": lambda: f"uint32_t(to_bf16({kernel.value(source, 'f32')})) << 16 | "
                                     f"to_bf16({kernel.value(operands[2], 'f32')})",
        "cvt.rn.bf16.f32": lambda: f"to_bf16({kernel.value(source, 'f32')})",
        "cvt.f32.bf16": lambda: f"uint32_t({kernel.value(source, 'b16')}) << 16",  # the bits
        "cvt.rna.tf32.f32": lambda: f"to_tf32({kernel.value(source, 'f32')})",
        "cvt.sat.f32.f32": lambda: f"__builtin_bit_cast(uint32_t, saturate({kernel.value(source, 'f32')}))",
        "cvt.rzi.f32.f32": lambda: f"__builtin_bit_cast(uint32_t, std::trunc({kernel.value(source, 'f32')}))",
    }.get(".".join(parts))
    if special:
        return assign(target, special())
    if parts[1] not in (*CPP_TYPES, "rn") or parts[-2] not in CPP_TYPES or parts[-1] not in CPP_TYPES:
        return None
    return assign(target, f"{CPP_TYPES[parts[-2]]}({kernel.value(source, parts[-1])})", parts[-2])


@instruction("cvta")
def convert_address(kernel, parts, operands):
    source = kernel.value(operands[1], "u64")
    if "shared" in parts:
        return assign(operands[0], f"{source} {'-' if 'to' in parts else '+'} reinterpret_cast<uintptr_t>(shared)")
    return assign(operands[0], source)  # global and local addresses are the process's


@instruction("and", "or", "xor")
def bitwise(kernel, parts, operands):
    kind = parts[-1]
    x, y = kernel.values(operands[1:], kind)
    if kind == "pred":
        return assign(operands[0], f"{x} {BITWISE[parts[0]]} {y}")
    return assign(operands[0], f"{CPP_TYPES[kind]}({x} {BITWISE[parts[0]]} {y})")


@instruction("not")
def bitwise_not(kernel, parts, operands):
    x = kernel.value(operands[1], parts[-1])
    if parts[-1] == "pred":
        return assign(operands[0], f"!{x}")
    return assign(operands[0], f"{CPP_TYPES[parts[-1]]}(~{x})")


@instruction("shl", "shr")
def shift(kernel, parts, operands):
    value, count = kernel.value(operands[1], parts[-1]), kernel.value(operands[2], "u32")
    return assign(operands[0], f"shift_{'left' if parts[0] == 'shl' else 'right'}<{CPP_TYPES[parts[-1]]}>"
                               f"({value}, {count})")


@instruction("add", "sub", "mul", "mad")
def arithmetic(kernel, parts, operands):
    base, kind, cpp_type = parts[0], parts[-1], CPP_TYPES[parts[-1]]
    x = kernel.values(operands[1:], kind)
    if base == "mul" and "wide" in parts:
        wide = CPP_TYPES[kind[0] + str(2 * int(kind[1:]))]
        return assign(operands[0], f"{wide}({wide}({x[0]}) * {wide}({x[1]}))")
    if base == "mul" and "hi" in parts:
        wide = {"s32": "int64_t", "u32": "uint64_t", "s64": "__int128", "u64": "unsigned __int128"}[kind]
        return assign(operands[0], f"{cpp_type}(({wide}({x[0]}) * {wide}({x[1]})) >> {8 * size_of(kind)})")
    if kind[0] == "f" and (base == "mad" or parts[1] not in ("rn", kind)):
        return None
    if kind[0] != "f" and base in ("mul", "mad") and "lo" not in parts:
        return None
    unsigned = UNSIGNED.get(kind, cpp_type)  # unsigned overflow is defined
    text = f"{unsigned}({x[0]}) {'+' if base == 'add' else '-' if base == 'sub' else '*'} {unsigned}({x[1]})"
    if base == "mad":
        text += f" + {unsigned}({x[2]})"
    return assign(operands[0], f"{cpp_type}({text})", kind)


@instruction("fma")
def fused_multiply_add(kernel, parts, operands):
    if parts[1] != "rn":
        return None
    values = ", ".join(kernel.values(operands[1:], parts[-1]))
    return assign(operands[0], f"gradamp::emulation::multiply_add({values})", parts[-1])


@instruction("fma.rm.f32")
def fused_multiply_add_down(kernel, parts, operands):
    return assign(operands[0], f"fma_down({', '.join(kernel.values(operands[1:], 'f32'))})", "f32")


@instruction("div", "rem")
def divide(kernel, parts, operands):
    kind = parts[-1]
    if kind[0] == "f" and parts[1] != "rn":
        return None
    x, y = kernel.values(operands[1:], kind)
    return assign(operands[0], f"{CPP_TYPES[kind]}({x} {'/' if parts[0] == 'div' else '%'} {y})", kind)


@instruction("rcp.rn.f32", "rcp.rn.f64")
def reciprocal(kernel, parts, operands):
    return assign(operands[0], f"{CPP_TYPES[parts[-1]]}(1) / {kernel.value(operands[1], parts[-1])}",
                  parts[-1])


@instruction("rcp.approx.ftz.f64")
def approximate_reciprocal(kernel, parts, operands):
    return assign(operands[0], f"__builtin_bit_cast(uint64_t, 1 / {kernel.value(operands[1], 'f64')}) >> 32 << 32")


@instruction("rcp.approx.ftz.f32")
def approximate_reciprocal_f32(kernel, parts, operands):
    return assign(operands[0], f"flushed(1.0f / flushed({kernel.value(operands[1], 'f32')}))", "f32")


@instruction("sqrt.rn.f32", "sqrt.rn.f64")
def square_root(kernel, parts, operands):
    return assign(operands[0], f"std::sqrt({kernel.value(operands[1], parts[-1])})", parts[-1])


@instruction("ex2.approx.f32")
def power_of_two(kernel, parts, operands):
    return assign(operands[0], f"std::exp2({kernel.value(operands[1], 'f32')})", "f32")


@instruction("ex2.approx.ftz.f32")
def power_of_two_flushed(kernel, parts, operands):
    return assign(operands[0], f"flushed(std::exp2(flushed({kernel.value(operands[1], 'f32')})))", "f32")


@instruction("rsqrt.approx.f32")
def reciprocal_square_root(kernel, parts, operands):
    return assign(operands[0], f"1.0f / std::sqrt({kernel.value(operands[1], 'f32')})", "f32")


@instruction("min", "max")
def extremum(kernel, parts, operands):
    kind = parts[-1]
    arguments = ", ".join(kernel.values(operands[1:], kind))
    if kind[0] == "f":
        return assign(operands[0], f"std::f{parts[0]}({arguments})", kind) if parts[1] == kind else None
    return assign(operands[0], f"std::{parts[0]}<{CPP_TYPES[kind]}>({arguments})")


@instruction("copysign")
def copy_sign(kernel, parts, operands):
    sign, magnitude = kernel.values(operands[1:], parts[-1])
    return assign(operands[0], f"std::copysign({magnitude}, {sign})", parts[-1])


@instruction("abs")
def absolute(kernel, parts, operands):
    return assign(operands[0], f"{CPP_TYPES[parts[-1]]}(std::abs({kernel.value(operands[1], parts[-1])}))",
                  parts[-1])


@instruction("neg")
def negate(kernel, parts, operands):
    kind, x = parts[-1], kernel.value(operands[1], parts[-1])
    return assign(operands[0], f"-{x}" if kind[0] == "f" else f"{CPP_TYPES[kind]}(0 - {UNSIGNED[kind]}({x}))", kind)


@instruction("bfi.b32")
def insert_bits(kernel, parts, operands):
    x, y = kernel.values(operands[1:3], "b32")
    position, length = kernel.values(operands[3:], "u32")
    return assign(operands[0], f"insert_bits({x}, {y}, {position}, {length})")


@instruction("popc.b32")
def count_ones(kernel, parts, operands):
    return assign(operands[0], f"uint32_t(std::popcount({kernel.value(operands[1], 'b32')}))")


@instruction("clz.b32")
def count_leading_zeros(kernel, parts, operands):
    return assign(operands[0], f"uint32_t(std::countl_zero({kernel.value(operands[1], 'b32')}))")


@instruction("bfind.shiftamt.u32")
def find_highest_bit(kernel, parts, operands):
    x = kernel.value(operands[1], "u32")
    return assign(operands[0], f"{x} ? uint32_t(std::countl_zero({x})) : ~0u")


@instruction("brev.b32")
def reverse_bits(kernel, parts, operands):
    return assign(operands[0], f"reverse_bits({kernel.value(operands[1], 'b32')})")


@instruction("bra")
def branch(kernel, parts, operands):
    return f"goto {label(operands[0])};"


@instruction("ret")
def leave(kernel, parts, operands):
    return "return;"


@instruction("bar.sync")
def barrier(kernel, parts, operands):
    return f"gradamp::emulated::__syncthreads({kernel.site});" if operands == ["0"] else None


@instruction("bar.warp.sync")
def warp_barrier(kernel, parts, operands):
    return f"gradamp::emulated::__syncwarp({kernel.value(operands[0], 'u32')}, {kernel.site});"


@instruction("bar.red.or.pred", "bar.red.and.pred")
def barrier_with_predicate(kernel, parts, operands):
    predicate = kernel.value(operands[2], "pred")
    return f"{register(operands[0])} = gradamp::emulated::__syncthreads_{parts[2]}({predicate}, {kernel.site}) != 0;"


@instruction("bar.red.popc.u32")
def barrier_with_count(kernel, parts, operands):
    predicate = kernel.value(operands[2], "pred")
    return assign(operands[0], f"uint32_t(gradamp::emulated::__syncthreads_count({predicate}, {kernel.site}))")


@instruction("vote.sync.ballot.b32")
def ballot(kernel, parts, operands):
    predicate, mask = kernel.value(operands[1], "pred"), kernel.value(operands[2], "u32")
    return assign(operands[0], f"gradamp::emulated::__ballot_sync({mask}, {predicate}, {kernel.site})")


@instruction("vote.sync.any.pred", "vote.sync.all.pred")
def vote(kernel, parts, operands):
    predicate, mask = kernel.value(operands[1], "pred"), kernel.value(operands[2], "u32")
    return (f"{register(operands[0])} = gradamp::emulated::__{parts[2]}_sync({mask}, {predicate}, {kernel.site}) "
            "!= 0;")


@instruction("membar.gl")
def fence(kernel, parts, operands):
    return "gradamp::emulated::__threadfence();"


@instruction("shfl")
def shuffle(kernel, parts, operands):
    if parts[-1] != "b32":
        return None
    target, _, in_range = operands[0].partition("|")
    source, mask = kernel.value(operands[1], "b32"), kernel.value(operands[4], "u32")
    call = (f"shuffle(ShuffleMode::{parts[2]}, {mask}, {source}, {kernel.value(operands[2], 'u32')}, "
            f"{kernel.value(operands[3], 'u32')}, in_range, {kernel.site})")
    also = f" {register(in_range)} = in_range;" if in_range else ""
    return f"{{ bool in_range; {assign(target, call)}{also} }}"


@instruction("atom")
def atomic(kernel, parts, operands):
    kind = parts[-1]
    address = f"reinterpret_cast<{CPP_TYPES[kind]}*>({kernel.address(operands[1], parts[1])})"
    values = ", ".join(kernel.values(operands[2:], kind))
    return assign(operands[0], f"gradamp::emulated::atomic{ATOMICS[parts[2]]}({address}, {values}, {kernel.site})")


@instruction("cp.async.cg.shared.global", "cp.async.ca.shared.global")
def copy_async(kernel, parts, operands):
    target, source = kernel.address(operands[0], "shared"), kernel.address(operands[1], "global")
    present = kernel.value(operands[3], "u32") if len(operands) > 3 else operands[2]
    return f"copy_async({target}, {source}, {operands[2]}, {present}, {kernel.site});"


@instruction("prefetch.global.L2")
def prefetch(kernel, parts, operands):
    return "/* nothing to do for a prefetch */"


@instruction("cp.async.commit_group")
def commit_copies(kernel, parts, operands):
    return "gradamp::emulation::commit_async_copies();"


@instruction("cp.async.wait_group")
def wait_for_copies(kernel, parts, operands):
    return f"gradamp::emulation::wait_async_copies({operands[0]});"


@instruction("ldmatrix")
def load_matrix(kernel, parts, operands):
    registers = split_list(operands[0][1:-1])
    sets = " ".join(assign(each, f"matrix[{i}]") for i, each in enumerate(registers))
    return (f"{{ uint32_t matrix[4]; gradamp::emulation::ldmatrix(matrix, {kernel.address(operands[1], 'shared')}, "
            f"{len(registers)}, {'true' if 'trans' in parts else 'false'}, {kernel.site}); {sets} }}")


@instruction("mma")
def multiply_matrices(kernel, parts, operands):
    types = {"m16n8k16.bf16": "kBF16", "m16n8k8.tf32": "kTF32"}
    mma_type = types.get(f"{parts[3]}.{parts[-3]}")
    if not mma_type or parts[-1] != "f32":
        return None
    d, a, b, c = (split_list(operand[1:-1]) for operand in operands)
    sets = " ".join(assign(each, f"sums[{i}]", "f32") for i, each in enumerate(d))
    return (f"{{ float sums[4] = {{{', '.join(kernel.values(c, 'f32'))}}}; "
            f"const uint32_t a[4] = {{{', '.join(kernel.values(a, 'b32'))}}}, "
            f"b[2] = {{{', '.join(kernel.values(b, 'b32'))}}}; "
            f"gradamp::emulation::mma(gradamp::emulation::MmaType::{mma_type}, {{sums, a, b, 1, 1}}, {kernel.site}); "
            f"{sets} }}")


# ---- Files ----

SHARED = re.compile(r"(\.extern )?\.shared \.align (\d+) \.[bu]8\s+([\w$]+)(?:\[(\d*)\])?;")
LOCAL = re.compile(r"\.local \.align (\d+) \.b8\s+([\w$]+)\[(\d+)\];")
LOCATION = re.compile(r"\.loc\s+(\d+)\s+(\d+)")
FILE = re.compile(r'\.file\s+(\d+)\s+"([^"]*)"')
INSTRUCTION = re.compile(r"(?:@(!?)%(\w+)\s+)?([\w.:]+)\s*(.*)", re.DOTALL)


def label(name):
    return name.replace("$", "")


class Reader:
    """Reads a PTX file: its kernels as (Kernel, lines of the body), and the names of source files."""

    def __init__(self, text):
        self.files = {number: os.path.basename(name) for number, name in FILE.findall(text)}
        self.kernels = []
        self._module_shared = []  # (name, alignment, bytes or None)
        lines = [re.sub(r"//.*", "", line).strip() for line in text.splitlines()]
        self._read([line for line in lines if line])

    def _read(self, lines):
        at = 0
        while at < len(lines):
            line = lines[at]
            if match := SHARED.match(line):
                self._module_shared.append((match[3], int(match[2]), None if match[1] else int(match[4] or 1)))
            if line.startswith((".entry", ".visible .entry", ".weak .entry")):
                at = self._read_kernel(lines, at)
            at += 1

    def _read_kernel(self, lines, at):
        header = ""
        while lines[at] != "{":
            header += lines[at] + " "
            at += 1
        name, parameters = re.match(r"(?:\.\w+ )?\.entry ([\w$]+)\((.*?)\)", header).groups()
        first, depth = at + 1, 0
        while True:
            depth += (lines[at] == "{") - (lines[at] == "}")
            if depth == 0:
                break
            at += 1
        body = lines[first:at]
        kernel, text = Kernel(name, parameters), "\n".join(body)
        for shared, alignment, size in self._module_shared:
            if re.search(rf"{re.escape(shared)}\b", text):
                if size is None:
                    kernel.shared[shared] = None
                else:
                    kernel.place_shared(shared, alignment, size)
        self.kernels.append((kernel, body))
        return at


def translate(kernel, lines, files, ptx_file):
    """Fills the kernel's body with C++ lines."""
    for line in lines:
        if match := SHARED.match(line):
            kernel.place_shared(match[3], int(match[2]), int(match[4] or 1))
        elif match := LOCAL.match(line):
            kernel.local[match[2]] = match[2].lstrip("_")
            kernel.body.append(f"alignas({match[1]}) char {kernel.local[match[2]]}[{match[3]}];")
        elif match := LOCATION.match(line):
            kernel.site = f'{{"{files.get(match[1], ptx_file)}", {match[2]}}}'
        elif not line.startswith((".pragma", ".file")):
            translate_line(kernel, line)


def translate_line(kernel, line):
    while line := line.strip():
        if line[0] in "{}" and not line.startswith("{%"):
            kernel.body.append(line[0])
            line = line[1:]
        elif match := re.match(r"(\$?[\w$]+):(?!:)", line):
            kernel.body.append(f"{label(match[1])}:;")
            line = line[match.end():]
        else:
            one, _, line = line.partition(";")
            if match := re.match(r"\.reg \.(\w+)\s+(.*)", one):
                kernel.body.append(declaration(match[1], match[2]))
                continue
            negated, predicate, opcode, operands = INSTRUCTION.match(one).groups()
            text = kernel.statement(opcode, split_list(operands))
            kernel.body.append(f"if ({negated}R{predicate}) {{ {text} }}" if predicate else text)


def declaration(kind, names):
    registers = []
    for name in split_list(names):
        match = re.match(r"%(\w+)<(\d+)>", name)
        registers += [f"R{match[1]}{i}" for i in range(int(match[2]))] if match else [f"R{name.strip('%')}"]
    return f"{REGISTER_TYPES[kind]} {', '.join(registers)};"


def cpp_of(kernel, index, variant):
    parameters = ", ".join(f"{{{offset}, {size}}}" for offset, size in kernel.parameters)
    return "\n".join([
        f"void kernel_{index}(const void* argument_bytes) {{",
        "  [[maybe_unused]] const char* const parameters = static_cast<const char*>(argument_bytes);",
        "  [[maybe_unused]] char* const shared = static_cast<char*>(gradamp::emulation::dynamic_shared());",
        f"  [[maybe_unused]] constexpr int64_t dynamic_at = {kernel.dynamic_at};",
        *(f"  {line}" for line in kernel.body),
        "}",
        f'const bool registered_{index} = gradamp::stand_in::add_ptx_kernel("{variant}", "{kernel.name}", '
        f"{{kernel_{index}, {{{parameters}}}, {kernel.dynamic_at}}});"])


def plant(kernels, replacement):
    """Returns only the kernel that `replacement` names, with the one change."""
    where, _, change = replacement.partition(":")
    old, _, new = (part.strip() for part in change.partition("=>"))
    for kernel, lines in kernels:
        text = "\n".join(lines)
        if where.strip() in kernel.name and old in text:
            return [(kernel, text.replace(old, new, 1).splitlines())]
    sys.exit(f"ptx_to_cpp.py: no kernel named {where.strip()} has the text {old!r}")


def main(source, target, variant, replacement=None):
    name = os.path.basename(source)
    with open(source, encoding="utf-8") as file:
        reader = Reader(file.read())
    kernels = plant(reader.kernels, replacement) if replacement else reader.kernels
    output = [f"// From {name}, by ptx_to_cpp.py.", '#include "gradamp/tests/kernels/cuda/stand_in/ptx_intrinsics.h"',
              "using namespace gradamp::stand_in;", "namespace {"]
    for index, (kernel, lines) in enumerate(kernels):
        try:
            translate(kernel, lines, reader.files, name)
        except UnknownInstruction as unknown:
            sys.exit(f"ptx_to_cpp.py: {name}, kernel {kernel.name}: not known: {unknown}")
        output.append(cpp_of(kernel, index, variant))
    output.append("}  // namespace")
    write_if_changed(target, "\n".join(output) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
