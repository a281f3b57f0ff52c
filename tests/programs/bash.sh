#!/bin/sh
. "$(dirname "$0")/common.sh"
require bash

cat >"$work/session.bash" <<'END'
declare -A table
for ((i = 0; i < 20000; i++)); do
    table[key$((i * 7919 % 5003))]+="$i "
done
for key in key1 key500 key5002; do
    echo "$key: ${table[$key]}"
done
echo "${#table[@]}"

# Each pair of parentheses is a fork, which inherits the table and changes its copy.
for ((i = 0; i < 400; i++)); do
    (
        table[key1]="changed in $i"
        list=($(for ((j = 0; j < 10; j++)); do echo $((i * j)); done))
        echo "${list[*]} ${table[key1]}" | (read -r line && echo "${line//1/one}")
    )
done
echo "${table[key1]}"

nested() {
    [[ $1 -eq 0 ]] && echo bottom || (echo "$1 $(nested $(($1 - 1)))")
}
nested 30

text=
for ((i = 0; i < 5000; i++)); do
    text+="$i,"
done
IFS=, read -r -a numbers <<<"$text"
echo "${#numbers[@]} ${#text} ${text:1000:50} ${numbers[*]: -3}"
coproc cat
echo "through a coprocess" >&"${COPROC[1]}"
read -r line <&"${COPROC[0]}"
echo "$line"
eval "exec ${COPROC[1]}>&-"

# Much is built and most of it is dropped: what is left must stay as it was while more is done.
declare -A sparse
for ((i = 0; i < 60000; i++)); do
    sparse[key$i]="value $i of some length $i$i$i"
done
for ((i = 0; i < 60000; i++)); do
    ((i % 8)) && unset "sparse[key$i]"
done
for ((i = 0; i < 60000; i++)); do
    text="x$i${text:0:20}"
    ((i % 16)) || sparse[key$i]+=" changed"
done
for key in "${!sparse[@]}"; do
    echo "$key ${sparse[$key]}"
done | sort | cksum
# Every number that nobody uses: none may be taken for the shell's own.
for ((i = 0; i < 40; i++)); do
    at=$((40 + i))
    eval "exec $at>numbered; echo through $at >&$at; cat numbered; exec $at>&-"
done 2>&1
for key in "${!sparse[@]}"; do
    echo "$key ${sparse[$key]}"
done | sort | cksum
diff <(seq 1 100) <(seq 1 101)
for ((i = 0; i < 20; i++)); do
    (sleep 0.01; exit $i) &
done
wait
echo done
END
compare bash "$work/session.bash"
