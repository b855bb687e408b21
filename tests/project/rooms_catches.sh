#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# rooms_catches.sh: does rooms.sh see what it is there to see? Builds small trees, each with one fault.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
failed=0

clean() {
    rm -rf "${tree:?}"/*
    mkdir -p "$tree/src/base" "$tree/src/ring" "$tree/src/sink/redis" "$tree/include/tokenring"
    cat > "$tree/src/README.md" <<'END'
| room | holds | may include | libraries |
|---|---|---|---|
| `base/` | words | | `ck` |
| `ring/` | lanes | `base/` | `ck` |
| `sink/` | interface | `base/` | |
| `sink/redis/` | Redis | `sink/`, `base/` | `hiredis` |
END
    echo '#include <stdint.h>' > "$tree/include/tokenring/tokenring.h"
    printf '#include <sys/mman.h>\n#include <ck_pr.h>\n' > "$tree/src/base/clock.h"
    printf '#include "ring/lane.h"\n#include "base/clock.h"\n#include "tokenring/tokenring.h"\n' > "$tree/src/ring/lane.c"
    echo '#include "base/clock.h"' > "$tree/src/ring/lane.h"
    echo '#include <stddef.h>' > "$tree/src/sink/sink.h"
    printf '#include <hiredis/hiredis.h>\n  #  include "sink/sink.h"\n' > "$tree/src/sink/redis/reply.c"
}

# expect STATUS WORDS: what rooms.sh must answer to the tree as it stands
expect() {
    status=0
    said=$("$here/rooms.sh" "$tree" 2>&1) || status=$?
    case $status:$said in
    "$1":*"$2"*) ;;
    *) echo "expected status $1 and '$2', got $status: $said"; failed=1 ;;
    esac
}

clean; expect 0 ""
clean; echo '#include "ring/lane.h"' >> "$tree/src/base/clock.h"; expect 1 "clock.h:3: \"ring/lane.h\": base/ may not include ring/"
clean; echo ' # include "sink/redis/reply.h" /* why */' >> "$tree/src/sink/sink.h"; expect 1 "sink/ may not include sink/redis/"
clean; echo '#include <hiredis/hiredis.h>' >> "$tree/src/sink/sink.h"; expect 1 "sink/ may not include hiredis"
clean; echo '#include <sqlite3.h>' >> "$tree/src/ring/lane.c"; expect 1 "ring/ may not include sqlite3"
clean; echo '#include <urcu.h>' >> "$tree/src/base/clock.h"; expect 1 "base/ may not include urcu"
clean; echo '#include <ck_ring.h>' >> "$tree/include/tokenring/tokenring.h"; expect 1 "include/ may not include ck"
clean; echo '#include "base/clock.h"' >> "$tree/include/tokenring/tokenring.h"; expect 1 "public headers"
clean; echo '#include "lane.h"' >> "$tree/src/ring/lane.c"; expect 1 "name the room"
clean; echo '#include "../base/clock.h"' >> "$tree/src/ring/lane.c"; expect 1 "name the room"
clean; echo '#include HEADER' >> "$tree/src/ring/lane.c"; expect 1 "computed"
clean; mkdir "$tree/src/table"; echo > "$tree/src/table/shard.c"; expect 1 "src/table/: holds sources"
clean; sed -i 's/words | |/words | `ring\/` |/' "$tree/src/README.md"; expect 1 "base/ may include ring/, which stands in no line above"
clean; rm -r "$tree/src/ring"; expect 1 "names src/ring/"
exit "$failed"
