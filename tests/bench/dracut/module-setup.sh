#!/bin/bash
# A dracut module: root=bench:URL is fetched and unpacked into a tmpfs by curl and tar, root=bench:/PATH is a file of
# the initrd. The peer of `make bench`.
# These functions are called by dracut, in the root it is installed in.
# shellcheck disable=SC2154 # moddir is dracut's

check() { return 255; } # only when asked for

depends() { echo network url-lib; }

install() {
    inst_multiple curl tar gzip zstd mount
    inst_hook cmdline 30 "$moddir/parse.sh"
    inst_hook mount 90 "$moddir/carried.sh"
    inst_script "$moddir/fetch.sh" /sbin/benchroot
}
