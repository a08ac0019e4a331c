# Arithmetic, strings, functions and small programs, as scripts do it.
collatz() {
    n=$1 steps=0
    while [ "$n" -ne 1 ]; do
        if [ $((n % 2)) -eq 0 ]; then n=$((n / 2)); else n=$((n * 3 + 1)); fi
        steps=$((steps + 1))
    done
}
i=1 longest=0
while [ $i -le "$1" ]; do
    collatz $i
    [ $steps -gt $longest ] && longest=$steps && echo "$i takes $steps"
    if [ $((i % 200)) -eq 0 ]; then
        here=$(printf '%s\n' "$i" | sed 's/0/o/g')
        printf '%s %s\n' "$here" "$(expr $i '*' 3)" >> progress
    fi
    i=$((i + 1))
done
