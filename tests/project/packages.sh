#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# packages.sh ROOT: what tools/install-packages asks of apt, where apt knows what Debian 12 knows, or lacks what Debian 13
# lacks. dpkg and apt are replaced by scripts that answer from lists.
set -eu
root=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin"

cat > "$work/bin/dpkg-query" << 'END'
#!/bin/sh
for package; do :; done
grep -qx "$package" "$WORK/installed" && printf installed
END
cat > "$work/bin/apt-cache" << 'END'
#!/bin/sh
grep -qx "$2" "$WORK/unknown" || echo "$2 | 1 | debian"
END
cat > "$work/bin/apt-get" << 'END'
#!/bin/sh
echo "$*" >> "$WORK/asked"
shift
[ "$1" = -y ] || exit 0
shift 3
for package; do
    ! grep -qx "$package" "$WORK/unknown" || { echo "E: Unable to locate package $package" >&2; exit 100; }
done
END
printf '#!/bin/sh\nexec "$@"\n' > "$work/bin/sudo"
chmod +x "$work"/bin/*

# ask SET...: runs it; then asked has the packages that were to be installed, one a line.
ask() {
    : > "$work/asked"
    WORK=$work PATH=$work/bin:$PATH "$root/tools/install-packages" "$@" > "$work/said" 2>&1 ||
        { echo "install-packages $*:"; cat "$work/said"; exit 1; }
    sed -n 's/.* install //p' "$work/asked" | tr ' ' '\n' > "$work/packages"
}
asked() { # asked PACKAGE...
    for package; do
        grep -qx -- "$package" "$work/packages" || { echo "$package is not asked for"; exit 1; }
    done
}
unasked() { # unasked PACKAGE...
    for package; do
        ! grep -qx -- "$package" "$work/packages" || { echo "$package is asked for"; exit 1; }
    done
}

# Debian 12: nothing is installed, all is known.
: > "$work/installed"
: > "$work/unknown"
ask
asked gcc libck-dev sqlite3 libcmocka-dev clang-tidy libclang-rt-dev clang-format-14
[ -z "$(sort "$work/packages" | uniq -d)" ] || { echo "asked for twice:"; sort "$work/packages" | uniq -d; exit 1; }

# Debian 13 and later: no clang-format-14, and no other version in its place.
echo clang-format-14 > "$work/unknown"
ask
asked gcc libck-dev sqlite3 libcmocka-dev clang-tidy libclang-rt-dev
unasked clang-format-14
! grep clang-format "$work/packages" || { echo "another clang-format formats otherwise"; exit 1; }

# All is installed: no network is touched.
cp "$work/packages" "$work/installed"
ask
[ ! -s "$work/asked" ] || { echo "apt-get is asked for nothing:"; cat "$work/asked"; exit 1; }

# The benches are built with the tests' library and start a redis-server.
: > "$work/installed"
ask bench
asked gcc cmake pkg-config libck-dev libhiredis-dev libsqlite3-dev libcmocka-dev redis-server liblttng-ust-dev lttng-tools \
    babeltrace2 python3-prometheus-client
unasked clang valgrind prometheus
echo "as it should"
