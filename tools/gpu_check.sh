#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Checks and measures everything on a machine with a GPU, and writes a report: see tools/gpu_check.sh --help.
case $0 in */*) folder=${0%/*} ;; *) folder=. ;; esac
exec bash "$folder/gpu_check/gpu_check.sh" "$@"
