#!/bin/sh
# SPDX-License-Identifier: MIT
# keep_report.sh COMPILER ARGUMENT...: compiles, and puts what ptxas says of each kernel's registers and spills into
# OBJECT.resources instead of on the terminal. Other messages pass.
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
