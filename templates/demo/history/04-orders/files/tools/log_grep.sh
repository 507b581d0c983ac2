#!/bin/sh
# Count the lines of a log that contain a word.
#
# Usage: log_grep.sh WORD... < LOG
#
# Prints one line "WORD COUNT" for every word. Upper and lower case are the
# same. A word that does not occur is counted as 0, which is no error.

log=$(cat)

# Print how many lines of the log contain $1 as a whole word. The word is
# taken literally, it is no pattern.
count() {
    printf '%s\n' "$log" | grep -c -i -w -F -e "$1"
}

for word in "$@"; do
    echo "$word $(count "$word")"
done
exit 0
