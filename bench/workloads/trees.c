// Binary trees built and torn down, short-lived ones beside a long-lived one.
// trees THREADS DEPTH ROUNDS
#include "workload.h"

typedef struct Node {
  struct Node *left, *right;
  uint64_t value;
} Node;

static size_t depth, rounds;

static Node *tree_build(size_t levels, uint64_t value) {
  Node *node = must(malloc(sizeof *node));
  *node = (Node){.value = value};
  if (levels > 1) {
    node->left = tree_build(levels - 1, 2 * value);
    node->right = tree_build(levels - 1, 2 * value + 1);
  }
  return node;
}

static uint64_t tree_tear_down(Node *node) {
  if (!node) return 0;
  uint64_t sum = node->value + tree_tear_down(node->left) + tree_tear_down(node->right);
  free(node);
  return sum;
}

static uint64_t work(size_t index) {
  Node *lasting = tree_build(depth, index + 1);
  uint64_t sum = 0;
  for (size_t round = 0; round < rounds; round++) {
    size_t levels = 4 + round % (depth - 4);
    // The same number of nodes for each depth.
    for (size_t i = 0; i < (size_t)1 << (depth - levels); i++)
      sum += tree_tear_down(tree_build(levels, i + 1));
  }
  return sum + tree_tear_down(lasting);
}

int main(int argc, char **argv) {
  size_t threads = arg_number(argc, argv, 1, 1);
  depth = arg_number(argc, argv, 2, 18);
  rounds = arg_number(argc, argv, 3, 40);
  if (depth < 5 || depth > 30) die("bad depth");
  return report(run_threads(threads, work));
}
