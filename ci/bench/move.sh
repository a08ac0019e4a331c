# As an ordinary user on the home node: a worker of `$1` MIB that writes `$2` pages a second moves to the node `$3`.
# Prints its PID, the time on its own clock when the move was asked for, what `brant ps` says of it, and its output.
out=/tmp/bench-out
perl /run/bench/worker.pl "$1" "$2" > $out 2>&1 &
worker=$!
until grep -q ready $out; do sleep 0.2; done
sleep 2
asked=$(tail -n 1 $out | cut -d ' ' -f 1)
brant migrate $worker "$3" > /dev/null 2>&1
# It may be the balancer that moves it.
for try in $(seq 300); do
    brant ps -a --json > /tmp/bench-ps
    tr -d ' \n' < /tmp/bench-ps | grep -q "\"pid\":$worker,[^{]*\"moves\":\[{" && break
    sleep 1
done
sleep "$4"
echo "$worker $asked"
tr -d '\n' < /tmp/bench-ps
echo
cat $out
kill $worker
wait
