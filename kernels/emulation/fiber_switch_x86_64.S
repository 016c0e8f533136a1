// SPDX-License-Identifier: MIT
// The switch between two stacks, for x86-64 and the System V calling convention. In a separate file, because the
// compiler must not optimize across it, and assembly in a header would be defined twice under link-time optimization.

        .text

// void gradamp_switch_stack(void** save, void* load): pushes what a call must preserve, stores the stack pointer in
// *save, and continues where the stack `load` was left. Ends with `ret`, which processors predict better than a jump.
        .globl  gradamp_switch_stack
        .type   gradamp_switch_stack, @function
gradamp_switch_stack:
        pushq   %rbp
        pushq   %rbx
        pushq   %r12
        pushq   %r13
        pushq   %r14
        pushq   %r15
        movq    %rsp, (%rdi)
        movq    %rsi, %rsp
        popq    %r15
        popq    %r14
        popq    %r13
        popq    %r12
        popq    %rbx
        popq    %rbp
        ret
        .size   gradamp_switch_stack, .-gradamp_switch_stack

// The first code that runs on a new stack: calls the function in r13 with the argument in r12. It never returns.
// Unwinding (by an exception or a debugger) stops here.
        .globl  gradamp_enter_stack
        .type   gradamp_enter_stack, @function
gradamp_enter_stack:
        .cfi_startproc
        .cfi_undefined rip
        movq    %r12, %rdi
        callq   *%r13
        ud2
        .cfi_endproc
        .size   gradamp_enter_stack, .-gradamp_enter_stack

        .section .note.GNU-stack, "", @progbits
