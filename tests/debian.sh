# Sourced: what tests need from Debian's packages, which takes root and a Debian or Ubuntu.

# install_packages NAME "COMMANDS" PACKAGES...: nothing to do where the commands are there; 77 where nothing can be installed.
install_packages() {
    local name=$1 commands=$2 missing=0 command
    shift 2
    for command in $commands; do
        command -v "$command" > /dev/null || missing=1
    done
    [ "$missing" = 1 ] || return 0
    if [ "$(id -u)" != 0 ] || [ -z "$(command -v apt-get)" ]; then
        echo "installing $name takes root and apt-get" >&2
        return 77
    fi
    export DEBIAN_FRONTEND=noninteractive
    # A mirror that does not answer is asked again, and not for ever.
    local options=(-y -o Acquire::Retries=3 -o Acquire::http::Timeout=20 -o DPkg::Lock::Timeout=60)
    timeout 180 apt-get update "${options[@]}"
    timeout 300 apt-get install "${options[@]}" --no-install-recommends "$@"
}
