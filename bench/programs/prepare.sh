#!/bin/sh
# Makes the input files of the whole programs in a directory, if they are not there yet: prepare.sh DIRECTORY
set -eu
cd "$1"

# Moved into place when complete, so that an interrupted run leaves no half a file behind.
if [ ! -f lines.txt ]; then
    awk 'BEGIN {
        srand(1)
        for (size = 0; size < 50000000; size += length(line) + 1) {
            line = sprintf("%08x %s %d", int(rand() * 4294967295), substr("abcdefghijklmnopqrstuvwxyz", int(rand() * 20) + 1), size)
            print line
        }
    }' >lines.txt.new
    mv lines.txt.new lines.txt
fi

if [ ! -f generated.c ]; then
    awk 'BEGIN {
        srand(2)
        print "typedef struct Node { struct Node *next; int key; double weight; char name[24]; } Node;"
        print "extern Node *node_new(int key); extern void node_drop(Node *node);"
        for (f = 0; f < 80; f++) {
            printf "static int helper_%d(const Node *node, int limit) {\n    int sum = 0;\n", f
            printf "    for (; node && sum < limit; node = node->next) sum += node->key * %d + node->name[%d];\n", f + 1, f % 24
            print "    return sum;\n}"
            printf "int work_%d(int a, int b, Node **table) {\n    int result = 0;\n    switch ((a ^ b) %% 12) {\n", f
            for (c = 0; c < 12; c++) {
                printf "        case %d: {\n            Node *node = node_new(a + %d);\n", c, c
                printf "            node->weight = (double)(a * %d - b) / (1 + (b & %d));\n", int(rand() * 100), int(rand() * 64)
                printf "            if (node->weight > %d) result += helper_%d(table[%d], b);\n", int(rand() * 1000), int(rand() * (f + 1)), c
                printf "            else { table[%d] = node; break; }\n            node_drop(node);\n            break;\n        }\n", c
            }
            print "    }\n    return result;\n}"
        }
    }' >generated.c.new
    mv generated.c.new generated.c
fi
