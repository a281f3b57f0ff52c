#!/bin/sh
. "$(dirname "$0")/common.sh"
require gcc awk

awk 'BEGIN {
    print "#include <stdio.h>\n#include <string.h>\n#include <stdlib.h>"
    for (n = 0; n < 400; n++) {
        print "struct s" n " { int a[" n % 13 + 1 "]; double d; char *name; };"
        print "static int f" n "(struct s" n " *s, int x)\n{\n    int sum = 0;"
        print "    for (int i = 0; i < " n % 13 + 1 "; i++)\n        sum += s->a[i] * (x ^ " n * 7919 % 1000 ");"
        print "    switch (x % 7) {"
        for (i = 0; i < 7; i++)
            print "    case " i ": sum ^= " n * i ", s->d *= " i + 0.5 "; break;"
        print "    }\n    return s->d > 1e3 ? sum : sum + (int)strlen(s->name);\n}"
        print "int g" n "(int x)\n{\n    struct s" n " s = {.name = \"structure " n "\", .d = x};"
        print "    return f" n "(&s, x)" (n ? " + g" n - 1 "(x / 2)" : "") ";\n}"
    }
}' >"$work/large.c"
compare gcc -O2 -Wall -c "$work/large.c" -o large.o
compare gcc -O1 -S -fverbose-asm "$work/large.c" -o large.s
