# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_bootjack_global_optspecs
    string join \n h/help V/version
end

function __fish_bootjack_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_bootjack_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_bootjack_using_subcommand
    set -l cmd (__fish_bootjack_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c bootjack -n "__fish_bootjack_needs_command" -s h -l help -d 'Print help'
complete -c bootjack -n "__fish_bootjack_needs_command" -s V -l version -d 'Print version'
complete -c bootjack -n "__fish_bootjack_needs_command" -f -a "boot" -d 'Be process 1: bring the machine up, show the menu, boot what is chosen'
complete -c bootjack -n "__fish_bootjack_needs_command" -f -a "attach" -d 'Show the screens of the boot that is going on here in this terminal too; Ctrl-] leaves'
complete -c bootjack -n "__fish_bootjack_needs_command" -f -a "check" -d 'Show every problem of a catalog, each with its place and a way out'
complete -c bootjack -n "__fish_bootjack_needs_command" -f -a "menu" -d 'Show the menu of a catalog in this terminal, then print the plan of what would be booted; boots nothing'
complete -c bootjack -n "__fish_bootjack_needs_command" -f -a "unpack" -d 'Fetch, verify and unpack a root archive into a directory, as a boot does'
complete -c bootjack -n "__fish_bootjack_needs_command" -f -a "pack" -d 'Makes a root archive (.tar.zst) of a directory or of another archive, and prints the catalog lines for it'
complete -c bootjack -n "__fish_bootjack_needs_command" -f -a "initrd" -d 'Builds an initrd: this program as /init, with the modules, certificates and catalog it will need'
complete -c bootjack -n "__fish_bootjack_needs_command" -f -a "serve" -d 'Serve a directory over HTTP'
complete -c bootjack -n "__fish_bootjack_needs_command" -f -a "vm" -d 'Boots a virtual machine with its serial line in this terminal; Ctrl-A X leaves'
complete -c bootjack -n "__fish_bootjack_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c bootjack -n "__fish_bootjack_using_subcommand boot" -l worker -d 'Be the worker of the supervisor that started it'
complete -c bootjack -n "__fish_bootjack_using_subcommand boot" -l job -d 'Become the job that is told over standard input'
complete -c bootjack -n "__fish_bootjack_using_subcommand boot" -l sync -d 'Write back what is in memory, for a process that must not wait for a dead disk'
complete -c bootjack -n "__fish_bootjack_using_subcommand boot" -s h -l help -d 'Print help'
complete -c bootjack -n "__fish_bootjack_using_subcommand attach" -l size -d 'How large the text is' -r
complete -c bootjack -n "__fish_bootjack_using_subcommand attach" -l socket -d 'Where the boot listens' -r -F
complete -c bootjack -n "__fish_bootjack_using_subcommand attach" -l once -d 'Print the screen as text and leave'
complete -c bootjack -n "__fish_bootjack_using_subcommand attach" -s h -l help -d 'Print help'
complete -c bootjack -n "__fish_bootjack_using_subcommand check" -l key -d 'Public keys of minisign: a catalog that is fetched must be signed, and every artifact needs a digest' -r -F
complete -c bootjack -n "__fish_bootjack_using_subcommand check" -l key-threshold -d 'How many of the keys must have signed [default: 1]' -r
complete -c bootjack -n "__fish_bootjack_using_subcommand check" -l ca -d 'More certificate authorities for https (PEM)' -r -F
complete -c bootjack -n "__fish_bootjack_using_subcommand check" -l proxy -d 'Ask this HTTP proxy in place of http and https servers' -r
complete -c bootjack -n "__fish_bootjack_using_subcommand check" -l no-proxy -d 'Hosts, domains and networks that are asked without the proxy: lab.example,10.0.0.0/8' -r
complete -c bootjack -n "__fish_bootjack_using_subcommand check" -l json -d 'Print one JSON array with an object for each catalog'
complete -c bootjack -n "__fish_bootjack_using_subcommand check" -l online -d 'Ask the servers, too: whether each artifact is there, and as long as the catalog says'
complete -c bootjack -n "__fish_bootjack_using_subcommand check" -l watch -d 'Check again whenever a file changes, until Ctrl-C; the exit status is the last one'
complete -c bootjack -n "__fish_bootjack_using_subcommand check" -l ca-only -d 'Only those of --ca, not the public ones built in'
complete -c bootjack -n "__fish_bootjack_using_subcommand check" -l no-verify-tls -d 'Believe whoever answers to https; a digest still counts'
complete -c bootjack -n "__fish_bootjack_using_subcommand check" -s h -l help -d 'Print help'
complete -c bootjack -n "__fish_bootjack_using_subcommand menu" -l ca -d 'More certificate authorities for https (PEM)' -r -F
complete -c bootjack -n "__fish_bootjack_using_subcommand menu" -l proxy -d 'Ask this HTTP proxy in place of http and https servers' -r
complete -c bootjack -n "__fish_bootjack_using_subcommand menu" -l no-proxy -d 'Hosts, domains and networks that are asked without the proxy: lab.example,10.0.0.0/8' -r
complete -c bootjack -n "__fish_bootjack_using_subcommand menu" -l json -d 'Print the plan as one JSON object'
complete -c bootjack -n "__fish_bootjack_using_subcommand menu" -l ca-only -d 'Only those of --ca, not the public ones built in'
complete -c bootjack -n "__fish_bootjack_using_subcommand menu" -l no-verify-tls -d 'Believe whoever answers to https; a digest still counts'
complete -c bootjack -n "__fish_bootjack_using_subcommand menu" -s h -l help -d 'Print help'
complete -c bootjack -n "__fish_bootjack_using_subcommand unpack" -l cmdline -d 'The root that the kernel command line asks for, into a tmpfs mounted at DIR; exit status 3: it asks for none' -r -F
complete -c bootjack -n "__fish_bootjack_using_subcommand unpack" -l sha256 -d 'SHA-256 the fetched bytes must have; without it the archive is not verified' -r
complete -c bootjack -n "__fish_bootjack_using_subcommand unpack" -l chunks -d 'SHA-256 of the chunk list, which lies at LOCATION.chunks: each chunk is verified before it is unpacked' -r
complete -c bootjack -n "__fish_bootjack_using_subcommand unpack" -l connections -d 'Fetch over so many connections at once, where there is a chunk list: for slow long links' -r
complete -c bootjack -n "__fish_bootjack_using_subcommand unpack" -l pin -d 'Believe an https server that has this key, and no other: sha256/BASE64 of its public key (repeatable)' -r
complete -c bootjack -n "__fish_bootjack_using_subcommand unpack" -l size -d 'Exact size of the fetched bytes' -r
complete -c bootjack -n "__fish_bootjack_using_subcommand unpack" -l ca -d 'More certificate authorities for https (PEM)' -r -F
complete -c bootjack -n "__fish_bootjack_using_subcommand unpack" -l proxy -d 'Ask this HTTP proxy in place of http and https servers' -r
complete -c bootjack -n "__fish_bootjack_using_subcommand unpack" -l no-proxy -d 'Hosts, domains and networks that are asked without the proxy: lab.example,10.0.0.0/8' -r
complete -c bootjack -n "__fish_bootjack_using_subcommand unpack" -l retry-for -d 'How long to go on without a byte arriving, over all tries' -r
complete -c bootjack -n "__fish_bootjack_using_subcommand unpack" -l ask -d 'Fetch nothing: say in the shell\'s words what the command line\'s root needs'
complete -c bootjack -n "__fish_bootjack_using_subcommand unpack" -l ca-only -d 'Only those of --ca, not the public ones built in'
complete -c bootjack -n "__fish_bootjack_using_subcommand unpack" -l no-verify-tls -d 'Believe whoever answers to https; a digest still counts'
complete -c bootjack -n "__fish_bootjack_using_subcommand unpack" -l json -d 'One JSON object on standard output'
complete -c bootjack -n "__fish_bootjack_using_subcommand unpack" -s h -l help -d 'Print help'
complete -c bootjack -n "__fish_bootjack_using_subcommand pack" -s o -l output -d 'File to write' -r -F
complete -c bootjack -n "__fish_bootjack_using_subcommand pack" -l level -d 'zstd level, 1 (fast) to 22 (small)' -r
complete -c bootjack -n "__fish_bootjack_using_subcommand pack" -l frame-size -d 'MiB of plain bytes in one frame; each can be decompressed on its own' -r
complete -c bootjack -n "__fish_bootjack_using_subcommand pack" -l threads -d 'Threads that compress (default: all cores)' -r
complete -c bootjack -n "__fish_bootjack_using_subcommand pack" -l exclude -d 'Leave out what has this name, and all below it (repeatable); `*` matches `/` too: \'var/cache/*\'' -r
complete -c bootjack -n "__fish_bootjack_using_subcommand pack" -l strip-dev -d 'Leave out device nodes below dev/: a system\'s own devtmpfs has them'
complete -c bootjack -n "__fish_bootjack_using_subcommand pack" -l no-chunks -d 'Write no chunk list beside the archive'
complete -c bootjack -n "__fish_bootjack_using_subcommand pack" -l chunks -d 'Write FILE.chunks: what each frame is verified by before it is unpacked. That is done unless --no-chunks is given; with --verify it makes the list of an archive or image that is there, in pieces of 4 MiB'
complete -c bootjack -n "__fish_bootjack_using_subcommand pack" -l verify -d 'Read the archive or image to its end, with every check of unpacking, and hold it against its chunk list, if there is one'
complete -c bootjack -n "__fish_bootjack_using_subcommand pack" -l json -d 'Print one JSON object instead of catalog lines'
complete -c bootjack -n "__fish_bootjack_using_subcommand pack" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c bootjack -n "__fish_bootjack_using_subcommand initrd" -s o -l output -d 'The file to write' -r -F
complete -c bootjack -n "__fish_bootjack_using_subcommand initrd" -l modules -d 'Modules of the kernel to boot: its lib/modules/RELEASE' -r -F
complete -c bootjack -n "__fish_bootjack_using_subcommand initrd" -l kernel -d 'The kernel to boot: checks that the modules are its own' -r -F
complete -c bootjack -n "__fish_bootjack_using_subcommand initrd" -l drivers -d 'Which modules: net, nfs, images, storage, virtiofs, input, watchdog, all, names, or folders such as kernel/drivers/net/wireless. Default: net, images, input and watchdog; all with --modules-only' -r
complete -c bootjack -n "__fish_bootjack_using_subcommand initrd" -l catalog -d 'A catalog to boot from when the kernel command line names none' -r -F
complete -c bootjack -n "__fish_bootjack_using_subcommand initrd" -l ca -d 'Certificates (PEM) of authorities to trust' -r -F
complete -c bootjack -n "__fish_bootjack_using_subcommand initrd" -l key -d 'Public keys of minisign: a catalog that is fetched must be signed, and every artifact needs a digest' -r -F
complete -c bootjack -n "__fish_bootjack_using_subcommand initrd" -l key-threshold -d 'How many of the keys must have signed [default: 1]' -r
complete -c bootjack -n "__fish_bootjack_using_subcommand initrd" -l busybox -d 'A static busybox, for the shell' -r -F
complete -c bootjack -n "__fish_bootjack_using_subcommand initrd" -l with -d 'Programs of this machine, with their libraries and kernel modules: lvm, mdadm, cryptsetup, or any other' -r
complete -c bootjack -n "__fish_bootjack_using_subcommand initrd" -l ssh -d 'Public keys (authorized_keys) of those who may see and use the screens of the boot by ssh, as root; takes this machine\'s dropbear along' -r -F
complete -c bootjack -n "__fish_bootjack_using_subcommand initrd" -l ssh-host-key -d 'The key that machines show to whoever logs in: ed25519, without a passphrase. Default: each makes one at its start and shows its fingerprint' -r -F
complete -c bootjack -n "__fish_bootjack_using_subcommand initrd" -l include -d 'Further files, and where they go in the initrd' -r
complete -c bootjack -n "__fish_bootjack_using_subcommand initrd" -l microcode -d 'Microcode for the processor, Intel\'s or AMD\'s; goes uncompressed in front' -r -F
complete -c bootjack -n "__fish_bootjack_using_subcommand initrd" -l compress -d 'How to compress' -r -f -a "zstd\t'Small and quick to unpack'
gzip\t'For kernels before 5.9'
none\t'Quick to build'"
complete -c bootjack -n "__fish_bootjack_using_subcommand initrd" -l binary -d 'The program that becomes /init, instead of this one' -r -F
complete -c bootjack -n "__fish_bootjack_using_subcommand initrd" -l modules-only -d 'Only the modules, for the catalog key `modules`'
complete -c bootjack -n "__fish_bootjack_using_subcommand initrd" -l ca-only -d 'Trust the authorities of --ca alone, not the public ones'
complete -c bootjack -n "__fish_bootjack_using_subcommand initrd" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c bootjack -n "__fish_bootjack_using_subcommand serve" -l listen -d 'Where to listen; port 0 takes a free one' -r
complete -c bootjack -n "__fish_bootjack_using_subcommand serve" -s h -l help -d 'Print help'
complete -c bootjack -n "__fish_bootjack_using_subcommand vm" -l mount -d 'Shares another directory, at /run/mnt/TAG of the machine' -r
complete -c bootjack -n "__fish_bootjack_using_subcommand vm" -l mount-ro -d 'The same, read-only' -r
complete -c bootjack -n "__fish_bootjack_using_subcommand vm" -l kernel -d 'The kernel to start; without it the newest of ROOTDIR, or what is on --pxe or a --drive' -r -F
complete -c bootjack -n "__fish_bootjack_using_subcommand vm" -l initrd -d 'Its initrd' -r -F
complete -c bootjack -n "__fish_bootjack_using_subcommand vm" -l append -d 'Words to add to the kernel command line' -r
complete -c bootjack -n "__fish_bootjack_using_subcommand vm" -l memory -d 'Memory in MiB, or as 4G [default: 1024; with ROOTDIR 4096, or what this host can spare]' -r
complete -c bootjack -n "__fish_bootjack_using_subcommand vm" -l smp -d 'Processors' -r
complete -c bootjack -n "__fish_bootjack_using_subcommand vm" -l net -d 'The network: user has DHCP and reaches this host as 10.0.2.2 [default: user; with ROOTDIR none]' -r -f -a "user\t''
none\t''"
complete -c bootjack -n "__fish_bootjack_using_subcommand vm" -l pxe -d 'Boots from the network card\'s ROM: DIR is served by TFTP, and boot.ipxe in it is the script' -r -F
complete -c bootjack -n "__fish_bootjack_using_subcommand vm" -l accel -d 'How to run the processor; auto tries the kernel under KVM for a few seconds first' -r -f -a "auto\t''
tcg\t''
kvm\t''"
complete -c bootjack -n "__fish_bootjack_using_subcommand vm" -l drive -d 'Disks, raw or qcow2' -r -F
complete -c bootjack -n "__fish_bootjack_using_subcommand vm" -l rw -d 'Lets the machine write into ROOTDIR'
complete -c bootjack -n "__fish_bootjack_using_subcommand vm" -l debug -d 'Lets the kernel, virtiofsd and this program say more'
complete -c bootjack -n "__fish_bootjack_using_subcommand vm" -s h -l help -d 'Print help'
complete -c bootjack -n "__fish_bootjack_using_subcommand help; and not __fish_seen_subcommand_from boot attach check menu unpack pack initrd serve vm help" -f -a "boot" -d 'Be process 1: bring the machine up, show the menu, boot what is chosen'
complete -c bootjack -n "__fish_bootjack_using_subcommand help; and not __fish_seen_subcommand_from boot attach check menu unpack pack initrd serve vm help" -f -a "attach" -d 'Show the screens of the boot that is going on here in this terminal too; Ctrl-] leaves'
complete -c bootjack -n "__fish_bootjack_using_subcommand help; and not __fish_seen_subcommand_from boot attach check menu unpack pack initrd serve vm help" -f -a "check" -d 'Show every problem of a catalog, each with its place and a way out'
complete -c bootjack -n "__fish_bootjack_using_subcommand help; and not __fish_seen_subcommand_from boot attach check menu unpack pack initrd serve vm help" -f -a "menu" -d 'Show the menu of a catalog in this terminal, then print the plan of what would be booted; boots nothing'
complete -c bootjack -n "__fish_bootjack_using_subcommand help; and not __fish_seen_subcommand_from boot attach check menu unpack pack initrd serve vm help" -f -a "unpack" -d 'Fetch, verify and unpack a root archive into a directory, as a boot does'
complete -c bootjack -n "__fish_bootjack_using_subcommand help; and not __fish_seen_subcommand_from boot attach check menu unpack pack initrd serve vm help" -f -a "pack" -d 'Makes a root archive (.tar.zst) of a directory or of another archive, and prints the catalog lines for it'
complete -c bootjack -n "__fish_bootjack_using_subcommand help; and not __fish_seen_subcommand_from boot attach check menu unpack pack initrd serve vm help" -f -a "initrd" -d 'Builds an initrd: this program as /init, with the modules, certificates and catalog it will need'
complete -c bootjack -n "__fish_bootjack_using_subcommand help; and not __fish_seen_subcommand_from boot attach check menu unpack pack initrd serve vm help" -f -a "serve" -d 'Serve a directory over HTTP'
complete -c bootjack -n "__fish_bootjack_using_subcommand help; and not __fish_seen_subcommand_from boot attach check menu unpack pack initrd serve vm help" -f -a "vm" -d 'Boots a virtual machine with its serial line in this terminal; Ctrl-A X leaves'
complete -c bootjack -n "__fish_bootjack_using_subcommand help; and not __fish_seen_subcommand_from boot attach check menu unpack pack initrd serve vm help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
