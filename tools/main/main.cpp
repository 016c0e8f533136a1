// SPDX-License-Identifier: MIT
#include "tools/commands.h"

int main(int argc, char** argv) { return gradamp::run_program(argc, argv); }
