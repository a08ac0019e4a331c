# What an engineer would type on the home node. `$1`: verb, `$2`: the other node's address, the rest: its own.
set -e
# Milliseconds.
now() { read -r up _ < /proc/uptime; echo "${up%.*}${up#*.}0"; }
start() {
    : > /run/bench/out
    # Appending: CRIU does not compare the length of such a file with the other node's.
    setsid perl /run/bench/worker.pl "$1" "$2" < /dev/null >> /run/bench/out 2>&1 &
    worker=$!
    until grep -q ready /run/bench/out; do sleep 0.2; done
    sleep 1
}
verb=$1 other=$2
shift 2
hand=/run/hand
stream="perl /run/bench/stream.pl"
rm -rf $hand
mkdir -p $hand/1 $hand/2 $hand/3
case $verb in
    plain) # MIB PAGES: dump, copy, restore
        start "$1" "$2"
        begin=$(now)
        criu dump -t $worker -D $hand/3 -v0
        tar -c -C $hand/3 . | $stream give "$other" 9000
        $stream take 9001 > /dev/null
        echo $(($(now) - begin)) ;;
    precopy) # MIB PAGES: two rounds to a page server, then the rest
        start "$1" "$2"
        for round in 1 2 3; do
            parent=""
            [ $round = 1 ] || parent="--prev-images-dir ../$((round - 1))"
            to="-t $worker -D $hand/$round -v0 --track-mem --page-server --address $other --port 900$((round + 1)) $parent"
            if [ $round = 3 ]; then
                sleep 2
                begin=$(now)
                criu dump $to
                tar -c -C $hand/3 --exclude=parent . | $stream give "$other" 9000
                $stream take 9001 > /dev/null
                echo $(($(now) - begin))
            else
                sleep 2
                criu pre-dump $to
            fi
        done ;;
    floor) # local dump and restore of a small process
        start 1 0
        begin=$(now)
        criu dump -t $worker -D $hand/3 -v0
        criu restore -D $hand/3 -d -v0
        echo $(($(now) - begin))
        kill -9 $worker ;;
esac
rm -rf $hand
