# Prints the tables of run.sh from its CSV file.
#
# glibc, mimalloc, jemalloc and tcmalloc are the peers; every other allocator is held against the best of them. All
# ratios are to the first allocator of the file. A workload that failed once under an allocator, or whose output
# differed from that of the first run, is FAILED there and counts in no mean.

BEGIN {
    FS = ","
    split("glibc mimalloc jemalloc tcmalloc", names, " ")
    for (i in names) is_peer[names[i]] = 1
    # Peaks below 4 MB say more about start-up than about a heap: there is a second mean without them.
    SMALL_PEAK_KB = 4096
}

FNR == 1 { next }

{
    work = $1; alloc = $2
    if (!seen[work]++ && work !~ /^ref-/) works[++work_count] = work
    if (!seen["", alloc]++) allocs[++alloc_count] = alloc
    if (!(work in expected) && $5 == "ok") expected[work] = $11
    if ($5 != "ok" || $11 != expected[work]) { failed[work, alloc] = 1; next }
    if ($3 == "time") {
        add("wall", $6)
        add("cpu", $7 + $8)
        add("faults", $9)
    } else {
        add("memory", $10)
    }
}

# Times and faults may be 0, which has no logarithm.
function add(what, value) {
    values[what, work, alloc, ++count[what, work, alloc]] = value > 0 ? value : what == "faults" ? 1 : 0.0001
}

# 0 when there is none.
function median(what, work, alloc,    n, i, j, sorted, value) {
    if (failed[work, alloc]) return 0
    n = count[what, work, alloc]
    for (i = 1; i <= n; i++) {
        value = values[what, work, alloc, i]
        for (j = i - 1; j > 0 && sorted[j] > value; j--) sorted[j + 1] = sorted[j]
        sorted[j + 1] = value
    }
    return n == 0 ? 0 : n % 2 ? sorted[(n + 1) / 2] : (sorted[n / 2] + sorted[n / 2 + 1]) / 2
}

# All medians, and as allocator "best" the lowest of the peers.
function reduce(    t, w, i, value, best) {
    for (t = 1; t <= table_count; t++) for (w = 1; w <= work_count; w++) {
        best = 0
        for (i = 1; i <= alloc_count; i++) {
            value = mid[tables[t], works[w], allocs[i]] = median(tables[t], works[w], allocs[i])
            if (!value || !(allocs[i] in is_peer) || (best && value >= best)) continue
            best = value
            best_name[tables[t], works[w]] = allocs[i]
        }
        mid[tables[t], works[w], "best"] = best
    }
}

function ratio(what, work, alloc, base) {
    return mid[what, work, base] ? mid[what, work, alloc] / mid[what, work, base] : 0
}

# The geometric mean of the ratios over the workloads that have one and whose first median is at least "least".
function mean(what, alloc, base, least,    w, value, sum, n) {
    for (w = 1; w <= work_count; w++) {
        value = ratio(what, works[w], alloc, base)
        if (!value || mid[what, works[w], allocs[1]] < least) continue
        sum += log(value)
        n++
    }
    return n ? sprintf("%.3f", exp(sum / n)) : "-"
}

function number(value, format) { return value ? sprintf(format, value) : "-" }

function cell(what, work, alloc) {
    return failed[work, alloc] ? "FAILED" : number(ratio(what, work, alloc, allocs[1]), "%.3f")
}

# The first allocator's medians in their unit, the others as ratios to it.
function table(what, title, unit, scale, format,    w, i, first) {
    printf "\n%s\n%-14s %12s", title, "workload", allocs[1] " " unit
    for (i = 2; i <= alloc_count; i++) printf " %12s", allocs[i]
    printf "  %-9s", "best peer"
    for (i = 1; i <= alloc_count; i++) if (!(allocs[i] in is_peer)) printf " %12s", allocs[i] "/best"
    for (w = 1; w <= work_count; w++) {
        first = failed[works[w], allocs[1]] ? "FAILED" : number(mid[what, works[w], allocs[1]] * scale, format)
        printf "\n%-14s %12s", works[w], first
        for (i = 2; i <= alloc_count; i++) printf " %12s", cell(what, works[w], allocs[i])
        printf "  %-9s", mid[what, works[w], "best"] ? best_name[what, works[w]] : "-"
        for (i = 1; i <= alloc_count; i++)
            if (!(allocs[i] in is_peer)) printf " %12s", number(ratio(what, works[w], allocs[i], "best"), "%.3f")
    }
    printf "\n"
}

# Wall time over that of the lower limits, which ran under the first allocator only.
function references(    w, i, limit, shown) {
    for (w = 1; w <= work_count; w++) {
        limit = median("wall", "ref-" works[w], allocs[1])
        if (!limit) continue
        if (!shown++) printf "\nWall time against the lower limit\n"
        printf "%-14s %9.3f s", works[w], limit
        for (i = 1; i <= alloc_count; i++) printf "  %s %s", allocs[i], number(mid["wall", works[w], allocs[i]] / limit, "%.2f")
        printf "\n"
    }
}

function summary_row(title, alloc, base,    t) {
    printf "%-18s", title
    for (t = 1; t <= table_count; t++) printf " %10s", mean(tables[t], alloc, base, 0)
    printf " %10s", mean("memory", alloc, base, SMALL_PEAK_KB)
}

function summary(    i, w, bad) {
    printf "\nGeometric means over the workloads, as ratios to %s\n", allocs[1]
    printf "%-18s %10s %10s %10s %10s %10s\n", "", "wall", "cpu", "faults", "peak Pss", "(>= 4 MB)"
    for (i = 1; i <= alloc_count; i++) {
        bad = 0
        for (w = 1; w <= work_count; w++) bad += failed[works[w], allocs[i]]
        summary_row(allocs[i], allocs[i], allocs[1])
        print bad ? "   " bad " FAILED" : ""
    }
    summary_row("best peer of each", "best", allocs[1])
    print ""
    for (i = 1; i <= alloc_count; i++) {
        if (allocs[i] in is_peer) continue
        summary_row(allocs[i] " / that", allocs[i], "best")
        print ""
    }
}

END {
    if (!alloc_count) exit 1
    table_count = split("wall cpu faults memory", tables, " ")
    reduce()
    table("wall", "Wall time", "s", 1, "%.3f")
    table("cpu", "CPU time, user and system", "s", 1, "%.3f")
    table("faults", "Minor page faults", "", 1, "%d")
    table("memory", "Peak Pss", "MB", 1 / 1024, "%.1f")
    references()
    summary()
}
