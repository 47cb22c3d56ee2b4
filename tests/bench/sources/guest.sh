# In the guest: unpacks the same archive from each source, ours and as a script would, into a fresh tmpfs each time.
# Says `TOOK ROUND SOURCE WHO SECONDS KIB` (KIB: of the largest process), and `ALL DONE`. usage: sh guest.sh RUNS HTTP NFS PORT
# What is measured with it is sources.py's.

runs=$1 http=$2 nfs=$3 port=$4
export PATH=/bin:/sbin
busybox mkdir -p /bin /sbin /t /m && busybox --install -s /bin

once() { # ROUND SOURCE WHO COMMAND
    mount -t tmpfs -o mode=0755,size=80% t /t
    echo 3 >/proc/sys/vm/drop_caches
    read -r begin _ </proc/uptime
    time -v -o /took sh -c "$4" </dev/null >/said 2>&1 || { cat /said; echo "FAILED $2 $3"; exit 1; }
    read -r end _ </proc/uptime
    seconds=$(echo "$begin $end" | awk '{ printf "%.2f", $2 - $1 }')
    kib=$(sed -n 's/.*Maximum resident set size.*: *//p' /took)
    echo "TOOK $1 $2 $3 $seconds $kib"
    umount /t
}

untar='zcat | (tar -x -p -C /t && cat >/dev/null)'
round=0
while [ $round -le "$runs" ]; do
    once $round disk ours "/init unpack LABEL=bench:/root.tar.gz /t"
    once $round disk theirs "mount -t ext4 -o ro /dev/vda /m && cat /m/root.tar.gz | $untar && umount /m"
    once $round nfs ours "/init unpack nfs://$nfs:$port/export:/root.tar.gz /t"
    once $round nfs theirs "mount -t nfs4 -o ro,vers=4.2,addr=$nfs,port=$port,clientaddr=0.0.0.0 $nfs:/export /m && cat /m/root.tar.gz | $untar && umount /m"
    once $round http ours "/init unpack $http/root.tar.gz /t"
    once $round http theirs "wget -q -O - $http/root.tar.gz | $untar"
    round=$((round + 1))
done
echo ALL DONE
