#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# log_lines.sh ROOT: the log's messages name only fields of src/base/log_fields.def, and those that the line is given; ids, which end
# in no NUL, are in no sentence that is printed by hand. Prints each violation; exit status 1 if there is one.
set -eu
root=${1:?usage: log_lines.sh ROOT}
cd "$root"
find src tools -name '*.c' | sort | xargs awk '
function complain(text) { print file ":" line ": " text; bad = 1 }
function check(statement,    rest, name, sentence) {
    sentence = statement ~ /(^|[^A-Z_a-z])tkr_log\(/
    if (sentence && statement ~ /%\.\*s/)
        complain("an id, or part of a text, within a sentence: give it as a field")
    rest = statement
    while (!sentence && match(rest, /\{[a-z0-9_]+\}/)) {
        name = substr(rest, RSTART + 1, RLENGTH - 2)
        rest = substr(rest, RSTART + RLENGTH)
        if (!(name in field))
            complain("{" name "} is no field of src/base/log_fields.def")
        else if (statement ~ /^[ \t]*TKR_LOG\([A-Za-z_]*,[ \t]*[a-z]*[^a-z"]*"/ && index(statement, "tkr_field_" name "(") == 0)
            complain("{" name "} is not given to the line")
    }
    lines++
}
BEGIN {
    while ((getline text < "src/base/log_fields.def") > 0)
        if (split(text, part, /[(, ]+/) > 2 && part[1] == "TKR_LOG_FIELD")
            field[part[3]] = 1
}
FNR == 1 { statement = "" }
statement == "" && /(TKR_LOG|tkr_log|tkr_log_fields|say_figure|append_told|log_account)\(/ && !/^(static|void|bool|#)/ { file = FILENAME; line = FNR; statement = " " }
statement != "" { statement = statement $0 }
statement != "" && /;[ \t]*(\/\*.*)?$/ { check(substr(statement, 2)); statement = "" }
END {
    if (lines < 30) { print "only " lines + 0 " lines of the log were found"; bad = 1 }
    exit bad
}'
