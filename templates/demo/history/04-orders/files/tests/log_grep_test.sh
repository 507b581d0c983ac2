#!/bin/sh
# Tests of tools/log_grep.sh.

tool=$(dirname "$0")/../tools/log_grep.sh
failed=0

# Compare the count of the words after $1 in a small log with $1.
expect() {
    wanted=$1
    shift
    got=$(printf 'ERROR disk full\nok\nerror again\nerrors\n' | sh "$tool" "$@")
    if [ "$got" != "$wanted" ]; then
        echo "log_grep $*: expected '$wanted', got '$got'" >&2
        failed=1
    fi
}

expect "error 2" error
expect "warning 0" warning
expect "ok 1
disk 1" ok disk
exit $failed
