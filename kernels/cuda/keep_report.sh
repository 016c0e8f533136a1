#!/bin/sh
# SPDX-License-Identifier: MIT
# keep_report.sh COMPILER ARGUMENT...: runs the compiler, and writes ptxas's report of each kernel's registers and spills
# to OBJECT.resources instead of the terminal. Other messages go to the terminal.
object=
previous=
for argument in "$@"; do
  [ "$previous" = -o ] && object=$argument
  previous=$argument
done
[ -n "$object" ] || exec "$@"
"$@" 2>"$object.messages"
status=$?
pattern='^ptxas info|^ *[0-9]+ bytes stack frame'
grep -E "$pattern" "$object.messages" >"$object.resources"
grep -Ev "$pattern" "$object.messages" >&2
rm -f "$object.messages"
exit $status
