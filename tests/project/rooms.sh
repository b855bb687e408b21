#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# rooms.sh ROOT: the #include lines of src/ and include/ go only where the map in ROOT/src/README.md lets them, and
# the map names exactly the directories that hold sources. Prints each violation; exit status 1 if there is one.
#
# The map is the table of src/README.md whose first column is "room": | `room/` | what it holds | rooms it may include | libraries beside libc |
set -eu
root=${1:?usage: rooms.sh ROOT}
map=$root/src/README.md
[ -r "$map" ] || { echo "$map: missing"; exit 1; }

{
    # Directories that hold sources, then the #include lines, in one stream.
    (cd "$root" && find src include -name '*.[ch]' -o -name '*.def' | sort |
        awk -F/ '$1 == "src" && NF > 2 { sub(/\/[^\/]*$/, ""); sub(/^src\//, ""); print "D " $0 }' | uniq)
    (cd "$root" && find src include -name '*.[ch]' -o -name '*.def' | sort |
        xargs grep -Hn '^[ 	]*#[ 	]*include' /dev/null | sed 's/^/I /')
} | awk -v map="$map" '
function complain(text) { print text; bad++ }
function room_of(path) { # "sink/redis/reply.c" -> "sink/redis"; "" when it stands in no folder
    return sub(/\/[^\/]*$/, "", path) ? path : ""
}
BEGIN {
    while ((getline line < map) > 0) {
        if (line ~ /^\| room /)
            table = 1
        if (line == "")
            table = 0
        if (!table || line !~ /^\| `/)
            continue
        split(line, cell, "|")
        gsub(/[` ]/, "", cell[2]); sub(/\/$/, "", cell[2])
        rooms[cell[2]] = 1
        gsub(/[`,]/, " ", cell[4]); n = split(cell[4], names, " ")
        for (i = 1; i <= n; i++) {
            sub(/\/$/, "", names[i]); arrow[cell[2], names[i]] = 1
            if (!(names[i] in rooms) || names[i] == cell[2])
                complain("src/README.md: " cell[2] "/ may include " names[i] "/, which stands in no line above it")
        }
        gsub(/[`,]/, " ", cell[5]); n = split(cell[5], names, " ")
        for (i = 1; i <= n; i++) library[cell[2], names[i]] = 1
    }
    n = split("assert ctype dirent dlfcn endian errno fcntl fenv float getopt grp inttypes iso646 limits locale " \
              "malloc math netdb poll pthread pwd sched semaphore setjmp signal spawn stdalign stdarg stdatomic " \
              "stdbool stddef stdint stdio stdlib stdnoreturn string strings syslog termios threads time ucontext " \
              "unistd utime wchar", names, " ")
    for (i = 1; i <= n; i++) libc[names[i] ".h"] = 1
}
$1 == "D" {
    here[$2] = 1
    if (!($2 in rooms))
        complain("src/" $2 "/: holds sources, but src/README.md does not name it")
    next
}
{
    where = $2; sub(/:[^:]*$/, "", where);
    file = where; sub(/:.*/, "", file)
    text = $0; sub(/^I [^:]*:[0-9]+:[ \t]*#[ \t]*include[ \t]*/, "", text)
    if (file ~ /^src\//) { from = file; sub(/^src\//, "", from); from = room_of(from) }
    else from = "include"
    if (text ~ /^"/) {
        target = text; sub(/^"/, "", target); sub(/".*/, "", target)
        to = room_of(target)
        if (target ~ /^tokenring\//)
            next
        if (to == "" || target ~ /\.\./)
            complain(where ": \"" target "\": name the room, as in \"ring/lane.h\"")
        else if (!(to in rooms))
            complain(where ": \"" target "\": src/README.md knows no room " to "/")
        else if (from == "include")
            complain(where ": \"" target "\": public headers include libc only")
        else if (to != from && !((from, to) in arrow))
            complain(where ": \"" target "\": " from "/ may not include " to "/")
        next
    }
    if (text !~ /^</) {
        complain(where ": " text ": an include that is computed cannot be checked")
        next
    }
    header = text; sub(/^</, "", header); sub(/>.*/, "", header)
    if (header in libc || header ~ /^(sys|linux|asm|netinet|arpa|net)\//)
        next
    if (from == "examples" && header ~ /^tokenring\//)
        next # as programs do that find them installed
    name = header
    if (header ~ /^ck_/) name = "ck"
    else if (header ~ /^urcu/) name = "urcu"
    else if (header ~ /^hiredis/) name = "hiredis"
    else sub(/\.h$/, "", name) # sqlite3, xxhash, jansson
    if (name == "tokenring/tokenring")
        complain(where ": <" header ">: our own header, in quotes")
    else if (!((from, name) in library))
        complain(where ": <" header ">: " from "/ may not include " name)
}
END {
    for (room in rooms) {
        if (!(room in here))
            complain("src/README.md names src/" room "/, where no sources are")
    }
    if (bad)
        exit 1
}'
