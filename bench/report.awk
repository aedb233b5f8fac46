# Turns the records of a benchmark (see bench_measure in lib.sh) into its table and its ratios.
# order: the keys, separated by '|'; comparisons: KEY|OTHER|TARGET, separated by blanks. With a unit, a record is
# "round|key|value" (bench_report_values): what names the values, better says whether more or less of them is faster.

BEGIN { FS = "|" }

$1 > 0 {
    if ($1 > rounds) rounds = $1
    wall[$2, $1] = $3
    client[$2, $1] = $4 + $5
    server[$2, $1] = $7 - $6
    bytes[$2] = $8
}

END {
    keys = split(order, key, "|")
    if (unit != "") {
        printf "%-36s %8s %8s %8s\n", what ", " unit, "min", "median", "max"
        for (k = 1; k <= keys; k++) print_values(key[k])
    } else {
        print_all_times()
    }
    printf "\n%-36s %8s %8s %8s %10s\n", "speed, round by round", "min", "median", "max", "to reach"
    n = split(comparisons, comparison, " ")
    for (k = 1; k <= n; k++) print_ratios(comparison[k])
}

function print_all_times(    k) {
    printf "%-16s %8s %8s %8s %10s %10s %10s\n", "", "min s", "median s", "MB/s", "client CPU", "server CPU", "MB written"
    for (k = 1; k <= keys; k++) print_times(key[k])
}

function print_values(name,    i, list) {
    for (i = 1; i <= rounds; i++) list[i] = wall[name, i]
    sort(list, rounds)
    printf "%-36s %8s %8s %8s\n", name, number(list[1]), number(median(list, rounds)), number(list[rounds])
}

function number(x) {
    return sprintf(x >= 100 ? "%.0f" : x >= 1 ? "%.2f" : "%.3f", x)
}

function print_times(name,    seconds, i, list) {
    for (i = 1; i <= rounds; i++) list[i] = wall[name, i]
    sort(list, rounds)
    seconds = median(list, rounds)
    printf "%-16s %8.2f %8.2f %8.0f %10.2f %10.2f %10.0f\n", name, list[1], seconds, bytes[name] / 1e6 / seconds,
        median_of(client, name), median_of(server, name), bytes[name] / 1e6
}

function print_ratios(comparison,    part, i, list, ratio, verdict) {
    split(comparison, part, "|")
    for (i = 1; i <= rounds; i++) list[i] = faster(wall[part[1], i], wall[part[2], i])
    sort(list, rounds)
    ratio = median(list, rounds)
    verdict = part[3] == "" ? "-" : part[3] (ratio >= part[3] ? "  reached" : "  missed")
    printf "%-36s %8.2f %8.2f %8.2f %10s\n", part[1] " : " part[2], list[1], ratio, list[rounds], verdict
}

# How many times as fast as the other one, whose value comes second.
function faster(own, other) {
    if (better != "more") return other / own
    return other > 0 ? own / other : 0
}

function median_of(of, name,    i, list) {
    for (i = 1; i <= rounds; i++) list[i] = of[name, i]
    sort(list, rounds)
    return median(list, rounds)
}

function median(list, n) {
    return n % 2 ? list[(n + 1) / 2] : (list[n / 2] + list[n / 2 + 1]) / 2
}

function sort(list, n,    i, j, x) {
    for (i = 2; i <= n; i++) {
        x = list[i] + 0
        for (j = i - 1; j >= 1 && list[j] > x; j--) list[j + 1] = list[j]
        list[j + 1] = x
    }
}
