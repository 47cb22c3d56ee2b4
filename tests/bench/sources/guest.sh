# In the guest: unpacks the same archive from each source, ours and as a script would, into a fresh tmpfs each time.
# Says `TOOK ROUND SOURCE WHO SECONDS KIB` (KIB: of the largest process), and `ALL DONE`. usage: sh guest.sh RUNS HTTP NFS
# What is measured with it is sources.py's.

runs=$1 http=$2 nfs=$3
export PATH=/bin:/sbin
busybox mkdir -p /bin /sbin /t /m && busybox --install -s /bin

once() { # ROUND SOURCE WHO COMMAND
    mount -t tmpfs -o mode=0755,size=80% t /t
    echo 3 >/proc/sys/vm/drop_caches
    time -v -o /took sh -c "$4" >/said 2>&1 || { cat /said; echo "FAILED $2 $3"; exit 1; }
    # h:mm:ss or m:ss, with hundredths.
    seconds=$(sed -n 's/.*Elapsed.*): *//p' /took | awk -F: '{ s = 0; for (i = 1; i <= NF; i++) s = s * 60 + $i; print s }')
    kib=$(sed -n 's/.*Maximum resident set size.*: *//p' /took)
    echo "TOOK $1 $2 $3 $seconds $kib"
    umount /t
}

untar='zcat | tar -x -p -C /t'
round=0
while [ $round -le "$runs" ]; do
    once $round disk ours "/init unpack LABEL=bench:/root.tar.gz /t"
    once $round disk theirs "mount -t ext4 -o ro /dev/vda /m && $untar </m/root.tar.gz && umount /m"
    once $round nfs ours "/init unpack nfs://$nfs/export:/root.tar.gz /t"
    once $round nfs theirs "mount -t nfs4 -o ro,vers=4.2,addr=$nfs,clientaddr=0.0.0.0 $nfs:/export /m && $untar </m/root.tar.gz && umount /m"
    once $round http ours "/init unpack $http/root.tar.gz /t"
    once $round http theirs "wget -q -O - $http/root.tar.gz | $untar"
    round=$((round + 1))
done
echo ALL DONE
