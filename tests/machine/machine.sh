#!/bin/bash
# A booted systemd in a container of its own: PID 1, D-Bus, journal, nftables, network namespace. It needs root and
# leaves the machine it runs on alone. Called by tests/suite/src/machine.rs:
#
#   check | base | network | boot [nspawn arguments] | wait | sh COMMAND.. | pull | plug | freeze | thaw | cut | end
#
# MACHINE is a folder of this machine alone, BASE the root file system that all share, NAME unlike any other machine's.
# It calls itself HOST, and its cable is plugged into the bridge br0 of the network namespace NET, which others may share
# (`network` makes one); without NET it has a network of its own.
set -eu
: "${MACHINE:?}" "${BASE:?}" "${NAME:?}" "${HOST:=appliance}" "${NET:=$NAME}"
view=$MACHINE/cgroup cg=$MACHINE/cgroup/$NAME
command=$1; shift

packages=systemd,systemd-sysv,dbus,nftables,iproute2,procps,chrony,udev,kmod,nix-bin
need() { command -v "$1" >/dev/null || { echo "$1 is not installed (Debian: $2)"; exit 1; }; }
pid1() { head -n1 "$cg/payload/init.scope/cgroup.procs"; }
network() {
    ip netns add "$NET"
    ip -n "$NET" link set lo up
    ip -n "$NET" link add br0 type bridge
    ip -n "$NET" link set br0 up
}
# What is to be done once the test has ended: one that is killed leaves nothing behind either.
guard() {
    setsid bash -c 'tail --pid="$1" -f /dev/null; exec "${@:2}"' guard "$PPID" "$@" </dev/null >/dev/null 2>&1 &
}
gone() {
    for _ in $(seq 200); do
        if ! grep -q 'populated 1' "$cg/cgroup.events" 2>/dev/null; then
            find "$cg" -mindepth 1 -depth -type d -exec rmdir {} + 2>/dev/null || true
            return 0
        fi
        sleep .05
    done
    return 1
}

case $command in
check)
    [ "$(id -u)" = 0 ] || { echo "needs root"; exit 1; }
    need systemd-nspawn systemd-container
    need nsenter util-linux
    need ip iproute2
    [ -e "$BASE" ] || need mmdebstrap mmdebstrap
    mkdir -p "$view"
    mountpoint -q "$view" || mount -t cgroup2 none "$view" 2>/dev/null || { echo "no cgroup2 here"; exit 1; }
    mkdir -p "$cg" 2>/dev/null || { echo "cgroups cannot be made here"; exit 1; }
    ip netns add "$NAME" 2>/dev/null || { echo "no network namespaces here"; exit 1; }
    ip netns del "$NAME"
    ;;
base)
    mkdir -p "$(dirname "$BASE")"
    exec 9>"$BASE.lock"
    flock 9
    [ ! -e "$BASE" ] || exit 0
    rm -rf "$BASE.new"
    mirror=${MSP_TEST_DEBIAN_MIRROR:-http://deb.debian.org/debian}
    mmdebstrap --quiet --variant=minbase --include=$packages --aptopt='Acquire::Languages "none"' \
        --aptopt='APT::Install-Recommends "false"' --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        trixie "$BASE.new.tar" "$mirror" >&2
    mkdir "$BASE.new"
    tar -xf "$BASE.new.tar" -C "$BASE.new"
    rm "$BASE.new.tar"
    mv "$BASE.new" "$BASE"
    ;;
network)
    network
    guard ip netns del "$NET"
    ;;
boot)
    mkdir -p "$view" "$MACHINE"/{upper/etc,work,root}
    mountpoint -q "$view" || mount -t cgroup2 none "$view"      # a second view of the one tree; works beside version 1
    mkdir -p "$cg"
    if [ "$NET" = "$NAME" ]; then network; fi
    echo "$HOST" >"$MACHINE/upper/etc/hostname"
    tr -d - </proc/sys/kernel/random/uuid >"$MACHINE/upper/etc/machine-id"
    # nspawn wants to see a pure version 2, and a /run that is a tmpfs; the mounts are the machine's own.
    setsid bash -c '
        echo $$ >"$1/cgroup.procs"
        exec nsenter --net=/run/netns/"$2" unshare --mount --cgroup --pid --fork --kill-child --mount-proc \
            --propagation private bash -ec "
                umount -R /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup
                mount -t tmpfs -o mode=755 tmpfs /run
                mount -t overlay overlay -o lowerdir=\$1,upperdir=\$2/upper,workdir=\$2/work \$2/root
                exec systemd-nspawn --quiet --register=no --keep-unit --machine=\$3 -D \$2/root --boot \
                    --console=pipe --network-bridge=br0 --kill-signal=SIGRTMIN+3 --resolv-conf=off --timezone=off \
                    \"\${@:4}\"" "$2" "$3" "$4" "$5" "${@:6}"
        ' machine "$cg" "$NET" "$BASE" "$MACHINE" "$HOST" "$@" </dev/null >>"$MACHINE/console.log" 2>&1 &
    guard "$0" end
    ;;
wait)
    for _ in $(seq 1200); do
        p=$(pid1 2>/dev/null) && [ -S "/proc/$p/root/run/dbus/system_bus_socket" ] &&
            exec "$0" sh systemctl is-system-running --wait
        sleep .05
    done
    tail -n 20 "$MACHINE/console.log"
    exit 1
    ;;
sh) # Entered without what would reach beyond the machine: its clock, modules and reboot are the host's.
    p=$(pid1)
    exec nsenter -t "$p" --mount --uts --ipc --net --pid --cgroup --root --wd="/proc/$p/root" \
        env -i PATH=/usr/sbin:/usr/bin:/usr/local/bin HOME=/root LANG=C.UTF-8 SYSTEMD_COLORS=0 \
        setpriv --bounding-set=-sys_time,-sys_module,-sys_rawio,-sys_boot,-syslog "$@"
    ;;
pull) ip -n "$NET" link set "vb-$HOST" down ;;   # the cable, at the bridge's end
plug) ip -n "$NET" link set "vb-$HOST" up ;;
freeze)
    echo 1 >"$cg/cgroup.freeze"
    for _ in $(seq 100); do grep -q 'frozen 1' "$cg/cgroup.events" && exit 0; sleep .02; done
    exit 1
    ;;
thaw) echo 0 >"$cg/cgroup.freeze" ;;
cut)
    [ ! -e "$cg/cgroup.kill" ] || echo 1 >"$cg/cgroup.kill"
    gone
    [ "$NET" != "$NAME" ] || ip netns del "$NET" 2>/dev/null || true
    ;;
end)
    "$0" cut || true
    rmdir "$cg" 2>/dev/null || true
    umount "$view" 2>/dev/null || true
    ;;
*)
    echo "no such command: $command" >&2
    exit 2
    ;;
esac
