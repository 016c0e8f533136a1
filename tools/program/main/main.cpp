// SPDX-License-Identifier: MIT
#include "gradamp/tools/program/run_program.h"

int main(int argc, char** argv) { return gradamp::run_program(argc, argv); }
