#!/bin/sh
# The harness's binary, whose embedded server has the fault that this script is called by: links to it, beside one to the
# binary, have the names of faults.
FAULT_UNDER_TEST=${0##*/} exec "${0%/*}/twinwire" "$@"
