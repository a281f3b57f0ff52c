#!/bin/sh
. "$(dirname "$0")/common.sh"
require g++ awk

awk 'BEGIN {
    print "#include <algorithm>\n#include <functional>\n#include <map>\n#include <memory>"
    print "#include <string>\n#include <tuple>\n#include <vector>"
    print "template <int N> struct wrapped { int value = N; bool operator<(const wrapped &o) const { return value < o.value; } };"
    for (n = 0; n < 15; n++) {
        print "std::size_t f" n "(int x)\n{"
        print "    std::map<wrapped<" n ">, std::vector<std::tuple<int, std::string, wrapped<" n ">>>> m;"
        print "    m[{}].emplace_back(x, \"" n "\", wrapped<" n ">{});"
        print "    auto &v = m.begin()->second;"
        print "    std::sort(v.begin(), v.end(), [](auto &a, auto &b) { return std::get<0>(a) < std::get<0>(b) + " n "; });"
        print "    std::function<int()> g = [&] { return x + " n "; };"
        print "    return v.size() + std::make_shared<wrapped<" n ">>()->value + g();\n}"
    }
}' >"$work/large.cpp"
compare g++ -std=c++17 -O1 -c "$work/large.cpp" -o large.o
