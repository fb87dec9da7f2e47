# For shell scripts to source: collects the Debian packages that are missing, and installs them.

missing=
need() { # command, package
    command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}
need_library() { # name, package
    PATH="$PATH:/sbin:/usr/sbin" ldconfig -p | grep -q "$1" || missing="$missing $2"
}

install_missing() {
    [ -n "$missing" ] || return 0
    if ! command -v apt-get >/dev/null; then
        echo "Please install these first (their names in Debian):$missing" >&2
        exit 1
    elif [ "$(id -u)" -eq 0 ]; then
        echo "Installing Debian packages:$missing"
        sudo=
    elif command -v sudo >/dev/null; then
        echo "Installing Debian packages, with sudo:$missing"
        sudo=sudo
    else
        echo "These Debian packages are missing, and this is neither root nor is there sudo:" >&2
        echo "    apt-get install$missing" >&2
        exit 1
    fi
    $sudo apt-get update -qq
    # shellcheck disable=SC2086
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
    missing=
}
