// Linked lists of nodes of several sizes, grown side by side and torn down one after the other, so that the
// blocks of one list lie scattered over the memory of all. lists THREADS LISTS NODES ROUNDS
#include "workload.h"

typedef struct Node {
  struct Node *next;
  uint64_t value;
  char payload[];
} Node;

static size_t lists, nodes, rounds;

static uint64_t tear_down(Node *node) {
  uint64_t sum = 0;
  while (node) {
    Node *next = node->next;
    sum += node->value;
    free(node);
    node = next;
  }
  return sum;
}

static uint64_t work(size_t index) {
  Rng rng = {index + 1};
  Node **heads = must(calloc(lists, sizeof *heads));
  uint64_t sum = 0;
  for (size_t round = 0; round < rounds; round++) {
    for (size_t i = 0; i < nodes; i++) {
      size_t list = rng_below(&rng, lists);
      Node *node = must(malloc(sizeof *node + 16 * (list % 8)));
      node->next = heads[list];
      node->value = i ^ list;
      heads[list] = node;
    }
    // Every second list survives into the next round.
    for (size_t list = round % 2; list < lists; list += 2) {
      sum += tear_down(heads[list]);
      heads[list] = NULL;
    }
  }
  for (size_t list = 0; list < lists; list++) sum += tear_down(heads[list]);
  free(heads);
  return sum;
}

int main(int argc, char **argv) {
  size_t threads = arg_number(argc, argv, 1, 1);
  lists = arg_number(argc, argv, 2, 64);
  nodes = arg_number(argc, argv, 3, 200000);
  rounds = arg_number(argc, argv, 4, 30);
  return report(run_threads(threads, work));
}
