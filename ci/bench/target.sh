# The other side of home.sh. `$1`: verb, `$2`: the home node's address.
set -e
hand=/run/hand
stream="perl /run/bench/stream.pl"
rm -rf $hand
mkdir -p $hand/1 $hand/2 $hand/3
if [ "$1" = precopy ]; then
    for round in 1 2 3; do
        parent=""
        [ $round = 1 ] || parent="--prev-images-dir ../$((round - 1))"
        criu page-server -D $hand/$round -v0 --port 900$((round + 1)) $parent
    done
fi
$stream take 9000 | tar -x -C $hand/3
: > /run/bench/out
criu restore -D $hand/3 -d -v0
$stream give "$2" 9001 < /dev/null
sleep 1
pkill -9 -x perl
rm -rf $hand
