#!/bin/sh
# Tests of tools/pick_mirror.sh. The status service is not asked.

tool=$(dirname "$0")/../tools/pick_mirror.sh
failed=0

# Compare the choice for the arguments after $1 with $1.
expect() {
    wanted=$1
    shift
    got=$(sh "$tool" --offline "$@")
    if [ "$got" != "$wanted" ]; then
        echo "pick_mirror $*: expected '$wanted', got '$got'" >&2
        failed=1
    fi
}

expect eu.example.com eu us.example.com eu.example.com
expect us.example.com asia us.example.com eu.example.com
expect eu.example.com eu eu.example.com eu.backup.example.com

sh "$tool" --offline eu 2>/dev/null
if [ $? -ne 2 ]; then
    echo "pick_mirror without a host: expected status 2" >&2
    failed=1
fi
exit $failed
